import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Cli } from './cli'
import { problem, TestDaemon } from './daemon'
import { project, server } from './objects'

describe('what one may', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()

  beforeAll(async () => cli.use(await daemon.start()))
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
  })
  beforeEach(() => {
    daemon.requests.length = 0
    daemon.route = () => undefined
    daemon.put('servers', server('github'), server('files'))
    daemon.put('projects', project('web'))
  })

  it('leaves out of `get all` what may not be seen, and says no where nothing may', async () => {
    const refusal = problem(403, 'Forbidden', 'it is forbidden')
    daemon.route = ({ path }) => (path === '/api/v1/servers' ? undefined : refusal)
    expect((await cli.type('get all -o name')).out).toBe('server/github\nserver/files\n')
    expect((await cli.type('get servers,projects')).code).toBe(5)
    daemon.route = () => refusal
    expect((await cli.type('get all')).code).toBe(5)
  })

  it('asks as somebody else with --as', async () => {
    await cli.type('get servers --as alice --as-group dev,ops')
    expect(daemon.requests.at(-1)?.headers).toMatchObject({
      'impersonate-user': 'alice',
      'impersonate-group': 'dev, ops',
    })
    expect((await cli.type('get servers --as-group dev')).code).toBe(2)
  })

  it('delete --all is refused as a whole to who may delete some of them only', async () => {
    const allowed = { allowed: false, user: 'nora', paths: [], nearest: [] }
    daemon.route = ({ path }) => (path === '/api/v1/authz/can-i' ? { status: 200, body: allowed } : undefined)
    const answer = await cli.type('delete servers --all --yes')
    expect(answer.code).toBe(5)
    expect(answer.err).toContain('deleting without naming each needs role delete on all servers')
    expect(daemon.mutations).toEqual([])
  })
})
