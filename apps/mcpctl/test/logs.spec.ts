import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Cli } from './cli'
import { TestDaemon } from './daemon'
import { instance, project, server } from './objects'

describe('logs', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()
  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    daemon.route = () => undefined
    daemon.requests.length = 0
    daemon.put('servers', server('github'))
    daemon.put('instances')
    daemon.put('projects', project('web'))
  })

  const line = (name: string, second: number, text: string, stream = 'stderr') => ({
    instance: name,
    at: `2026-01-31T12:00:0${String(second)}.000Z`,
    stream,
    text,
  })
  const one = [line('github-ab12-0', 1, 'hello'), line('github-ab12-0', 2, 'restarted', 'system')]

  it('prints lines as they are, and marks seams apart', async () => {
    daemon.route = ({ path }) => (path.endsWith('/logs') ? { status: 200, lines: one } : undefined)
    expect(await cli.type('logs github --tail 5 --since 1h')).toEqual({
      code: 0,
      out: 'hello\n',
      err: '--- instance/github-ab12-0 restarted at 2026-01-31T12:00:02.000Z ---\n',
    })
    const { query } = daemon.requests.at(-1) ?? {}
    expect(query?.get('tail')).toBe('5')
    expect(Date.now() - Date.parse(query?.get('since') ?? '')).toBeLessThan(3_700_000)
  })

  it('names the instance when there are several', async () => {
    daemon.put('instances', instance('github-ab12-0', 'github'), instance('github-ab12-1', 'github'))
    daemon.route = ({ path }) => (path.endsWith('/logs') ? { status: 200, lines: one } : undefined)
    expect((await cli.type('logs server/github --timestamps')).out).toBe(
      '[instance/github-ab12-0] 2026-01-31T12:00:01.000Z hello\n',
    )
    expect((await cli.type('logs github-ab12-1')).out).toBe('hello\n')
  })

  it('follows across a broken connection without printing a line twice', async () => {
    const streams = [
      { status: 200, lines: [line('g', 1, 'a'), line('g', 2, 'b')], cut: true },
      { status: 200, lines: [line('g', 2, 'b'), line('g', 2, 'b'), line('g', 3, 'c')] },
    ]
    daemon.route = ({ path }) => (path.endsWith('/logs') ? streams.shift() : undefined)
    const answer = await cli.type('logs -f github')
    expect(answer).toMatchObject({ code: 0, out: 'a\nb\nb\nc\n', err: '--- connection lost, trying again ---\n' })
    expect(daemon.requests.at(-1)?.query.get('since')).toBe('2026-01-31T12:00:02.000Z')
  })

  it.each([
    ['logs', 2, 'name a server or an instance'],
    ['logs project/web', 2, 'projects have no logs; servers and instances do'],
    ['logs nope', 3, 'Error from server (NotFound): servers "nope" not found'],
    ['logs github --tail few', 2, 'invalid argument "few" for --tail'],
  ])('%s is refused', async (words, code, text) => {
    const answer = await cli.type(words)
    expect(answer.err).toContain(text)
    expect(answer.code).toBe(code)
  })
})
