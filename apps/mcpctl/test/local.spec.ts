import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { isAlive } from '../src/daemon/record'
import { Cli } from './cli'

/** A program that starts, writes its files and ends as mcpd does, and nothing more. Counts its starts. */
const program = `
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
const flag = (name) => process.argv[process.argv.indexOf(name) + 1]
const directory = flag('--data-dir')
mkdirSync(directory, { recursive: true })
appendFileSync(join(directory, 'starts'), process.pid + '\\n')
if (process.argv.includes('--port') && flag('--port') === '1') {
  console.error('Error: listen EADDRINUSE: address already in use 127.0.0.1:1')
  process.exit(1)
}
const file = join(directory, 'mcpd.json')
const end = () => { rmSync(file, { force: true }); process.exit(0) }
const status = () => ({
  version: '9.9.9', store: { id: 's', epoch: 1, position: '7' }, leader: { self: true },
  daemon: { pid: process.pid, startedAt: new Date().toISOString(), address: '' },
  projectors: [{ name: 'objects', position: '7', lag: 0, status: 'running' }],
  drivers: [{ name: 'process', available: true, isolated: false }], database: { embedded: true, version: '18.4' },
})
let looks = 0
const server = createServer((request, response) => {
  const path = request.url.split('?')[0]
  if (path === '/readyz') return response.writeHead(++looks > 2 ? 200 : 503).end('{}')
  if (request.headers.authorization !== 'Bearer mcp_pat_x') {
    const body = { status: 401, reason: 'Unauthorized', detail: 'no such token' }
    return response.writeHead(401, { 'content-type': 'application/problem+json' }).end(JSON.stringify(body))
  }
  if (path === '/api/v1/shutdown') { appendFileSync(join(directory, 'shutdown'), request.url); setTimeout(end, 50) }
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(status()))
})
server.listen(0, '127.0.0.1', () => {
  const address = 'http://127.0.0.1:' + server.address().port
  writeFileSync(file, JSON.stringify({ pid: process.pid, address, startedAt: '', version: '9.9.9' }))
  const contexts = { local: { server: address, token: 'mcp_pat_x' } }
  writeFileSync(flag('--write-context'), JSON.stringify({ currentContext: 'local', contexts }), { mode: 0o600 })
})
process.on('SIGTERM', end)
setTimeout(end, 60_000).unref()
`

describe('the local daemon', () => {
  let cli: Cli
  let data: string
  let env: Record<string, string>

  const starts = () => readFileSync(join(data, 'starts'), 'utf8').trim().split('\n').map(Number)

  beforeEach(() => {
    cli = new Cli()
    data = join(cli.directory, 'data')
    const file = join(cli.directory, 'mcpd.mjs')
    writeFileSync(file, program)
    env = { MCPCTL_MCPD: file, MCPD_DATA_DIR: data, PATH: process.env['PATH'] ?? '' }
  })
  afterEach(async () => {
    await cli.type('down', { env })
    cli.remove()
  })

  it('is started once, found again, and stopped', async () => {
    const first = await cli.type('up --timeout 20s', { env })
    expect(first).toMatchObject({
      code: 0,
      err: 'starting mcpd …\nnext: mcpctl apply -f FILE; stop with: mcpctl down\n',
    })
    const [pid = 0] = starts()
    expect(first.out).toMatch(
      new RegExp(`^mcpd 9\\.9\\.9 started at http://127\\.0\\.0\\.1:\\d+ \\(pid ${String(pid)}\\)\n`),
    )
    expect(first.out).toContain('  database   PostgreSQL 18.4, embedded\n  drivers    process (not isolated)\n')

    const second = await cli.type('up --port 7777', { env })
    expect(second.out).toContain('mcpd 9.9.9 already running at')
    expect(second.err).toContain('Warning: mcpd was running already: --port had no effect; run mcpctl down first')
    expect(starts()).toEqual([pid])

    expect(await cli.type('down', { env })).toEqual({ code: 0, out: `mcpd stopped (pid ${String(pid)})\n`, err: '' })
    expect(isAlive(pid) && existsSync(join(data, 'mcpd.json'))).toBe(false)
    expect(await cli.type('down', { env })).toMatchObject({ code: 0, out: `mcpd is not running on ${data}\n` })
  })

  it('is started once by several at once', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => cli.type('up --timeout 20s', { env })))
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 0])
    expect(starts()).toHaveLength(1)
  })

  it('ends with its containers when told so', async () => {
    await cli.type('up --timeout 20s', { env })
    expect((await cli.type('down --all', { env })).out).toMatch(/^mcpd stopped/)
    expect(readFileSync(join(data, 'shutdown'), 'utf8')).toBe('/api/v1/shutdown?all=1')
  })

  it('shows why it did not start', async () => {
    const answer = await cli.type('up --port 1 --timeout 20s', { env })
    expect(answer.code).toBe(9)
    expect(answer.err).toContain(
      'error: mcpd ended while starting (code 1); its last lines:\n  Error: listen EADDRINUSE: address already in use 127.0.0.1:1\n' +
        'another program listens on that port; run: mcpctl up --port 0\n',
    )
  })

  it('says whose token it refuses', async () => {
    await cli.type('up --timeout 20s', { env })
    const config = readFileSync(cli.configFile, 'utf8')
    writeFileSync(cli.configFile, config.replace('mcp_pat_x', 'mcp_pat_old'))
    const answer = await cli.type('up', { env })
    expect(answer.code).toBe(4)
    expect(answer.err).toMatch(
      /^error: the token of context "local" is not valid for the daemon at http:\S+; run: mcpctl down, then mcpctl up\nlog in as an administrator: mcpctl login http:\S+ --user NAME\nif there is none left: mcpctl down, then: mcpd admin recover --user NAME\n$/,
    )
  })

  it("refuses another user's data directory", async () => {
    mkdirSync(data, { mode: 0o555 })
    chmodSync(cli.directory, 0o755)
    // Root may write everywhere; anybody else is refused as they are.
    const isRoot = process.geteuid?.() === 0
    if (isRoot) process.seteuid?.(65_534)
    const answer = await cli.type('up', { env }).finally(() => isRoot && process.seteuid?.(0))
    expect(answer).toEqual({
      code: 2,
      out: '',
      err: `error: cannot use the data directory ${data}: permission denied\nchoose another one with --data-dir\n`,
    })
  })

  it('is not confused with another process that has its number now', async () => {
    await cli.type('up --timeout 20s', { env })
    await cli.type('down', { env })
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const address = `http://127.0.0.1:${String((other.address() as AddressInfo).port)}`
    writeFileSync(join(data, 'mcpd.json'), JSON.stringify({ pid: 1, address }))
    expect((await cli.type('down', { env })).out).toBe(`mcpd is not running on ${data}\n`)
    await new Promise((resolve) => other.close(resolve))
  })

  it('tells its status', async () => {
    await cli.type('up --timeout 20s', { env })
    const { out, code } = await cli.type('status', { env })
    expect(code).toBe(0)
    expect(out).toContain(
      'Leader:     this daemon\nDatabase:   PostgreSQL 18.4, embedded\nStore:      s, epoch 1, position 7\n',
    )
    expect(out).toContain(
      'PROJECTOR   POSITION   LAG   PARKED   STATUS    LAST-ERROR\nobjects     7          0     0        running\n',
    )
    expect((await cli.type('version', { env })).out).toMatch(
      /^Client Version: \d+\.\d+\.\d+\nServer Version: 9\.9\.9\n$/,
    )
  })

  it('need not be there for what concerns the client alone', async () => {
    rmSync(cli.configFile, { force: true })
    expect((await cli.type('version --client -o json')).code).toBe(0)
    expect(await cli.type('--version')).toEqual(await cli.type('version --client'))
    expect((await cli.type('api-resources --no-headers')).out).toMatch(
      /^servers {5}srv {2,}get,list,create,update,delete {3}Server/,
    )
    expect((await cli.type('api-resources -o name --verbs create')).out).toBe(
      'servers\nsecrets\nprojects\nusers\ngroups\nrbac\n',
    )
    expect((await cli.type('help exit-codes')).out).toContain('8      timed out')
    expect((await cli.type('help scale')).out).toContain('Usage: mcpctl scale server/NAME… --replicas COUNT [flags]')
    expect((await cli.type('scale --help')).out).toBe((await cli.type('help scale')).out)
    expect((await cli.type('help scael')).err).toContain('there is no help about "scael"; did you mean "scale"?')
    expect((await cli.type('options')).out).toContain('--request-timeout <duration>')
    expect(await cli.run([])).toMatchObject({ code: 0, err: '' })
  })
})

describe('contexts', () => {
  let cli: Cli
  beforeEach(() => {
    cli = new Cli()
    cli.use('http://127.0.0.1:9')
  })
  afterEach(() => cli.remove())

  it('are listed, chosen and shown without their tokens', async () => {
    expect((await cli.type('config get-contexts')).out).toBe(
      'CURRENT   NAME    SERVER               USER\n*         local   http://127.0.0.1:9   <none>\n',
    )
    expect((await cli.type('config current-context')).out).toBe('local\n')
    expect((await cli.type('config use-context lcal')).err).toBe(
      'error: no context exists with the name "lcal"; did you mean "local"?\nrun: mcpctl config get-contexts\n',
    )
    expect((await cli.type('config use-context local')).out).toBe('Switched to context "local".\n')
    const shown = await cli.type('config view')
    expect(shown.out).toContain('token: REDACTED')
    expect((await cli.type('config view -o json')).out).not.toContain('mcp_pat')
    expect((await cli.type('config view --raw')).out).toContain('mcp_pat_test')
    expect((await cli.type('config veiw')).err).toContain(
      'unknown command "veiw" for "mcpctl config"; did you mean "view"?',
    )
  })

  it('are warned about when others can read them', async () => {
    chmodSync(cli.configFile, 0o644)
    expect((await cli.type('get servers')).err).toMatch(/^Warning: .* can be read by other users; run: chmod 600 /)
  })

  it('can be chosen for one command', async () => {
    expect((await cli.type('get servers --context prod')).err).toContain('there is no context "prod"')
    expect((await cli.type('get servers --server http://127.0.0.1:8')).err).toContain('127.0.0.1:8 was refused')
    expect((await cli.type('get servers --server localhost')).err).toContain('write it like http://127.0.0.1:7777')
  })
})
