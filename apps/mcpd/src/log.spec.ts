import { afterAll, describe, expect, it } from '@jest/globals'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { DomainError } from '@mcpctl/contracts'
import { bundle } from '../../../test/support/bundle'
import { openLog } from './log'

const canary = 'Xy7pQ2Lm9Rt4Wv6Zb1Nc8Kd3Fg5Hj0Sa'
const token = `mcp_pat_${'aB3'.repeat(20).slice(0, 49)}`

const logged = (...entry: [object, string]): string => {
  const lines: string[] = []
  const log = openLog('trace', {
    write: (line) => {
      lines.push(line)
    },
  })
  log.trace(...entry)
  return lines.join('')
}

describe("the daemon's log", () => {
  it.each([
    ['an Authorization header', { headers: { authorization: `Bearer ${canary}` } }],
    ['a cookie', { request: { headers: { cookie: `session=${canary}` } } }],
    ['a body', { request: { body: { data: { key: canary } } } }],
    ['a password', { user: { password: canary } }],
    ['an environment', { env: [{ name: 'TOKEN', value: canary }] }],
  ])('holds nothing of %s', (_, fields) => {
    expect(logged(fields, 'a request')).not.toContain(canary)
  })

  it('holds no credential, wherever it stands', () => {
    const error = new Error(`refused ${token}`, { cause: new Error(`for ${token}`) })
    const line = logged({ error, note: token, deep: [{ [token]: token }] }, `as ${token}`)
    expect(line).not.toContain(token)
    expect(JSON.parse(line)).toMatchObject({ msg: 'as ***', error: { message: 'refused ***' } })
  })

  it('tells of an error what an operator needs, and not what a driver adds', () => {
    const refused = Object.assign(new Error('not unique'), {
      code: '23505',
      detail: `Key (v)=(${canary})`,
      where: canary,
    })
    const error = new DomainError('Internal', 'something went wrong', { cause: refused, asked: canary })
    expect(logged({ error: refused }, 'x')).not.toContain(canary)
    expect(logged({ error }, 'x')).not.toContain(canary)
    expect(JSON.parse(logged({ error }, 'x'))).toMatchObject({ error: { code: 'Internal', cause: 'not unique' } })
  })
})

describe('a bug that nobody caught', () => {
  const files: string[] = []
  afterAll(() => Promise.all(files.map((file) => rm(file, { force: true }))))

  it.each(['Promise.reject', 'setTimeout'])('is told without what it carries, by %s', async (how) => {
    const source = `.cache/crash-${how.replace('.', '-')}-${String(process.pid)}.ts`
    files.push(source)
    const thrown = `Object.assign(new Error('a bug'), { body: '${canary}', request: { authorization: 'Bearer ${canary}' } })`
    const act =
      how === 'setTimeout'
        ? `setTimeout(() => { throw ${thrown} })`
        : `void Promise.reject(${thrown}); setInterval(() => 0, 1000)`
    await writeFile(
      source,
      `import { endOnBugs, openLog } from '../apps/mcpd/src/log'\nendOnBugs(openLog('trace'))\n${act}\n`,
    )
    const program = await bundle(source, `crash-${how.replace('.', '-')}`)
    files.push(program)
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'pipe'] })
    const output: string[] = []
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => output.push(chunk.toString()))
    const [code] = (await once(child, 'close')) as [number]
    expect(code).toBe(1)
    expect(output.join('')).toContain('a bug')
    expect(output.join('')).not.toContain(canary)
  })
})
