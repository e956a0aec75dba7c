import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { DirectConfig } from '@mcpctl/contracts'
import { Cli } from './cli'
import { TestDaemon } from './daemon'
import { project } from './objects'

const byHand = 'c4n4ry-typed-by-hand'

const github: DirectConfig = {
  server: 'github',
  package: 'npm:@scope/github@1.2.3',
  transport: 'stdio',
  command: [],
  args: ['stdio'],
  env: [
    { name: 'LOG', value: 'info' },
    { name: 'GH_TOKEN', secret: { name: 'gh', key: 'token', version: 3 } },
    { name: 'EXTRA', secret: { name: 'gh', key: 'extra', optional: true } },
  ],
  files: [{ path: '/run/secrets/pem', env: 'PEM_FILE', secret: { name: 'gh', key: 'pem' } }],
}

describe('config CLIENT', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()
  const folder = join(cli.directory, 'client')
  const file = join(folder, 'mcp.json')
  const backup = `${file}.before-mcpctl`
  const configs = new Map<string, DirectConfig>()
  const type = (line: string) => cli.type(`${line} --file ${file}`)
  const printed = async (line: string) => JSON.parse((await type(line)).out) as Record<string, unknown>

  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    rmSync(folder, { recursive: true, force: true })
    daemon.put('projects', project('web'))
    configs.clear()
    configs.set('github', github)
    daemon.route = ({ path }) => {
      const body = configs.get(/servers\/([^/]+)\/config$/.exec(path)?.[1] ?? '')
      return body && { status: 200, body }
    }
  })

  it('says which clients there are when it does not know one', async () => {
    const { code, err } = await type('config emacs --project web')
    expect(code).toBe(2)
    expect(err).toContain('unknown command "emacs" for "mcpctl config"')
    expect(err).toContain('claude-code, claude-desktop, cursor, vscode')
  })

  it('prints how a client uses a project, and writes nothing', async () => {
    const { code, out, err } = await type('config claude-desktop --project web')
    const program = join(cli.directory, 'mcplocal', 'main.js')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toEqual({
      mcpServers: {
        web: {
          command: process.execPath,
          args: [program, '--project', 'web'],
          // It is not where mcplocal would look for it.
          env: { MCPCTL_CONFIG: cli.configFile },
        },
      },
    })
    expect(err).toBe(`put this into ${file}, or repeat the command with --write\n`)
    expect(existsSync(folder)).toBe(false)
    expect((await type('config vscode --project web --context local')).out).toContain('"local"')
    expect((await type('config cursor --project none')).code).toBe(3)
  })

  it.each<[string, unknown]>([
    [
      'claude-code',
      {
        mcpServers: {
          github: {
            type: 'stdio',
            command: 'npx',
            args: ['-y', '@scope/github@1.2.3', 'stdio'],
            env: { LOG: 'info', GH_TOKEN: '${GH_TOKEN}', EXTRA: '${EXTRA:-}', PEM_FILE: '${PEM_FILE}' },
          },
        },
      },
    ],
    [
      'claude-desktop',
      {
        mcpServers: {
          github: {
            command: 'npx',
            args: ['-y', '@scope/github@1.2.3', 'stdio'],
            env: {
              LOG: 'info',
              GH_TOKEN: '<value of secret gh, key token, version 3>',
              EXTRA: '<value of secret gh, key extra>',
              PEM_FILE: '<path of a file that holds secret gh, key pem>',
            },
          },
        },
      },
    ],
    [
      'cursor',
      {
        mcpServers: {
          github: {
            type: 'stdio',
            command: 'npx',
            args: ['-y', '@scope/github@1.2.3', 'stdio'],
            env: {
              LOG: 'info',
              GH_TOKEN: '${env:GH_TOKEN}',
              EXTRA: '${env:EXTRA}',
              PEM_FILE: '${env:PEM_FILE}',
            },
          },
        },
      },
    ],
    [
      'vscode',
      {
        inputs: [
          {
            type: 'promptString',
            id: 'github-GH_TOKEN',
            description: 'Value of secret gh, key token, version 3',
            password: true,
          },
          { type: 'promptString', id: 'github-EXTRA', description: 'Value of secret gh, key extra', password: true },
          {
            type: 'promptString',
            id: 'github-PEM_FILE',
            description: 'Path of a file that holds secret gh, key pem',
            password: false,
          },
        ],
        servers: {
          github: {
            type: 'stdio',
            command: 'npx',
            args: ['-y', '@scope/github@1.2.3', 'stdio'],
            env: {
              LOG: 'info',
              GH_TOKEN: '${input:github-GH_TOKEN}',
              EXTRA: '${input:github-EXTRA}',
              PEM_FILE: '${input:github-PEM_FILE}',
            },
          },
        },
      },
    ],
  ])('prints how %s runs a server itself, with blanks for what is secret', async (client, expected) => {
    expect(await printed(`config ${client} --direct github`)).toEqual(expected)
  })

  it('says what belongs into the blanks', async () => {
    const said = async (client: string) => (await type(`config ${client} --direct github`)).err
    expect(await said('claude-code')).toContain(
      'set GH_TOKEN before you start Claude Code: value of secret gh, key token, version 3\n',
    )
    expect(await said('vscode')).toContain('VS Code will ask for: value of secret gh, key token, version 3\n')
    expect(await said('claude-desktop')).toContain('replace "<value of secret gh, key token, version 3>" in the file')
  })

  it('names the program of a package that has several', async () => {
    configs.set('github', { ...github, command: ['second', '-v'], env: [], files: [] })
    expect(await printed('config claude-desktop --direct github')).toEqual({
      mcpServers: {
        github: { command: 'npx', args: ['-y', '--package=@scope/github@1.2.3', '--', 'second', '-v', 'stdio'] },
      },
    })
  })

  it('runs an image with no value among the arguments', async () => {
    const { package: _, ...rest } = github
    configs.set('github', { ...rest, image: 'ghcr.io/x:1', command: ['/bin/x', 'y'], network: { mode: 'none' } })
    const { mcpServers } = (await printed('config claude-code --direct github')) as {
      mcpServers: { github: { command: string; args: string[]; env: object } }
    }
    expect(mcpServers.github.command).toBe('docker')
    expect(mcpServers.github.args.join(' ')).toBe(
      'run --rm -i --init --network none -e LOG -e GH_TOKEN -e EXTRA -e PEM_FILE=/run/secrets/pem ' +
        '-v ${PEM_FILE}:/run/secrets/pem:ro --entrypoint /bin/x ghcr.io/x:1 y stdio',
    )
    expect(mcpServers.github.env).toEqual({ LOG: 'info', GH_TOKEN: '${GH_TOKEN}', EXTRA: '${EXTRA:-}' })
  })

  it('points at a server that runs elsewhere', async () => {
    const remote: DirectConfig = {
      server: 'docs',
      url: 'https://x/mcp',
      transport: 'http',
      command: [],
      args: [],
      env: [],
      files: [],
    }
    configs.set('docs', remote)
    expect(await printed('config claude-code --direct docs')).toEqual({
      mcpServers: { docs: { type: 'http', url: 'https://x/mcp' } },
    })
    expect(await printed('config cursor --direct docs')).toEqual({ mcpServers: { docs: { url: 'https://x/mcp' } } })
    const refused = await type('config claude-desktop --direct docs')
    expect(refused.code).toBe(2)
    expect(refused.err).toContain('Claude Desktop starts programs only')
    configs.set('docs', { ...remote, transport: 'sse' })
    expect(await printed('config vscode --direct docs')).toEqual({
      servers: { docs: { type: 'sse', url: 'https://x/mcp' } },
    })
  })

  it('warns of a plain value that the client would change', async () => {
    configs.set('github', { ...github, env: [{ name: 'LOG', value: '${HOME}' }], files: [] })
    expect((await type('config claude-code --direct github')).err).toContain(
      'Warning: Claude Code replaces what reads like a variable in the value of LOG\n',
    )
  })

  it('writes a file, says what changed, and takes it back', async () => {
    const written = await type('config vscode --direct github --write')
    expect(written.code).toBe(0)
    expect(written.out).toContain('+    "github": {\n')
    expect(written.err).toContain(`${file} written; start VS Code anew for it\n`)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(await printed('config vscode --direct github'))
    expect(await type('config vscode --direct github --write')).toMatchObject({
      code: 0,
      out: '',
      err: `${file} is as it should be already\n`,
    })
    const reverted = await type('config vscode --direct github --revert')
    expect(reverted).toMatchObject({ code: 0, err: `${file} is what it was before\n` })
    expect([existsSync(file), existsSync(backup)]).toEqual([false, false])
  })

  const own = `{\n    "theme":  "d\\u0061rk",\n    "mcpServers": {\n        "mine": { "command": "x", "env": { "T": "${byHand}" } }\n    }\n}\n`

  const given = (text: string, mode = 0o640) => {
    mkdirSync(folder)
    writeFileSync(file, text)
    chmodSync(file, mode)
  }

  it('touches nothing else in the file, shows none of it, and can undo all to the byte', async () => {
    given(own)
    const { out, err } = await type('config cursor --direct github --write')
    expect(out + err).not.toContain(byHand)
    expect(err).toContain(`what it was is kept in ${backup}\n`)
    const text = readFileSync(file, 'utf8')
    expect(text).toContain(own.slice(0, own.indexOf('\n    }')))
    expect(statSync(file).mode & 0o777).toBe(0o640)
    expect(readFileSync(backup, 'utf8')).toBe(own)
    await type('config cursor --project web --write')
    expect(Object.keys((JSON.parse(readFileSync(file, 'utf8')) as { mcpServers: object }).mcpServers)).toEqual([
      'mine',
      'github',
      'web',
    ])
    expect((await type('config cursor --direct github --revert')).err).toBe(
      `"github" in ${file} is what it was before\n`,
    )
    expect((await type('config cursor --project web --revert')).err).toBe(`${file} is what it was before\n`)
    expect(readFileSync(file, 'utf8')).toBe(own)
    expect(existsSync(backup)).toBe(false)
    expect((await type('config cursor --project web --revert')).code).toBe(1)
  })

  it('gives back an entry that it took the place of, and keeps what was added since', async () => {
    given(own.replace('mine', 'github'))
    const { out } = await type('config cursor --direct github --write')
    expect(out).toContain('-        "github": { "command": "***", "env": { "T": "***" } }\n')
    expect(out).not.toContain(byHand)
    writeFileSync(file, readFileSync(file, 'utf8').replace('"theme"', '"since": 1,\n    "theme"'))
    const reverted = await type('config cursor --direct github --revert')
    expect(reverted.out).not.toContain(byHand)
    const now = JSON.parse(readFileSync(file, 'utf8')) as object
    expect(now).toEqual({ since: 1, theme: 'dark', mcpServers: { github: { command: 'x', env: { T: byHand } } } })
  })

  it('takes only the questions along that nothing else asks', async () => {
    given(
      '{ "inputs": [{ "id": "github-EXTRA", "type": "promptString" }], "servers": { "b": { "x": "${input:github-GH_TOKEN}" } } }',
    )
    await type('config vscode --direct github --write')
    await type('config vscode --direct github --revert')
    const { inputs } = JSON.parse(readFileSync(file, 'utf8')) as { inputs: { id: string }[] }
    expect(inputs.map(({ id }) => id)).toEqual(['github-EXTRA', 'github-GH_TOKEN'])
  })

  it('follows a link to the file, and leaves it one', async () => {
    given(own)
    const target = join(cli.directory, 'dotfile.json')
    writeFileSync(target, '{}')
    rmSync(file)
    symlinkSync(target, file)
    await type('config claude-code --project web --write')
    expect(readlinkSync(file)).toBe(target)
    expect(readFileSync(target, 'utf8')).toContain('"web"')
    rmSync(target)
  })

  it.each(['{ // mine\n}', '[]', '{ "mcpServers": [] }', '{ "a": 1, "a": 2 }'])('leaves %j as it is', async (text) => {
    given(text)
    const { code, err } = await type('config claude-code --project web --write')
    expect(code).toBe(2)
    expect(err).toContain('nothing was changed')
    expect(readFileSync(file, 'utf8')).toBe(text)
    expect(existsSync(backup)).toBe(false)
  })

  it.each([
    ['config claude-code', 'name what the client is to use'],
    ['config claude-code --project web --direct github', 'exclude each other'],
    ['config claude-code --project web --write --revert', 'exclude each other'],
    ['config claude-cod --project web', 'claude-code'],
    ['config cursor --project web --wirte', 'did you mean --write?'],
    ['config cursor --direct github --write --file /dev/null/x', 'cannot'],
  ])('%s is refused', async (line, text) => {
    const { code, err } = await cli.type(line)
    expect(err).toContain(text)
    expect(code).toBe(2)
  })

  it('says that a server listens on a port', async () => {
    configs.set('github', { ...github, transport: 'http' })
    expect((await type('config cursor --direct github')).err).toContain('listens on a port (transport http)')
    expect((await type('config cursor --direct none')).code).toBe(3)
  })
})
