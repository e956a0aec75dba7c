import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { rbacOf } from '../../../../test/support/access-fixture'
import { until } from '../../../../test/support/binaries'
import { Caller, type Items } from '../../../../test/support/caller'
import { startDaemon, type TestDaemon } from '../../../../test/support/daemon'
import { EventSource } from '../../../../test/support/event-source'
import { goneWithinMs } from '../../../../test/support/deadlines'

let first: TestDaemon
let second: TestDaemon
let root: Caller
let vic: Caller
let tokenId: string
let opened: EventSource[] = []

beforeAll(async () => {
  first = await startDaemon()
  second = await startDaemon({ database: first.database })
  root = new Caller(first.address, first.token)
}, 60_000)
afterEach(() => {
  for (const source of opened) source.close()
  opened = []
})
afterAll(async () => {
  await second.close()
  await first.close()
})

const watch = async (caller: Caller, query = '&sendInitialEvents=true', plural = 'projects') => {
  const source = await EventSource.open(caller, `/${plural}?watch=1${query}`, 'text/event-stream')
  opened.push(source)
  return source
}
const apply = (name: string, labels: Record<string, string> = {}) =>
  root.must(root.apply({ projects: [{ name, labels }] }))
const remove = (name: string) => root.must(root.delete(`/projects/${name}`))
const bind = (...entries: string[]) => root.must(root.apply({ rbac: [rbacOf('vic-rights', ['u:vic'], entries)] }))
const lastOf = ({ events }: EventSource) => events.at(-1)

/** vic with these rights and a new token. */
const vicWith = async (...entries: string[]) => {
  await root.must(root.apply({ users: [{ name: 'vic', enabled: true }] }))
  await bind(...entries)
  const issued = await root.must(root.post<{ id: string; token: string }>('/tokens', { user: 'vic' }))
  tokenId = issued.id
  vic = root.withToken(issued.token)
}

describe('a watch shows what its reader may view', () => {
  it('R008 and nothing of all else, not even that it is gone', async () => {
    await vicWith('view:projects:his')
    await apply('not-his')
    const source = await watch(vic)
    await apply('his')
    await apply('not-his', { changed: 'yes' })
    await remove('not-his')
    await apply('his', { changed: 'yes' })
    await remove('his')
    await source.saw('DELETED', 'his')
    expect(source.names).toEqual(['his'])
    expect(source.text).not.toContain('not-his')
  })

  it('and is refused to who may view none', async () => {
    await vicWith('view:servers')
    expect((await watch(vic)).status).toBe(403)
  })

  it('within the scope of the token', async () => {
    await vicWith('view:projects')
    const issued = await vic.must(vic.post<{ token: string }>('/tokens', { scopes: ['view:projects:narrow'] }))
    const source = await watch(vic.withToken(issued.token))
    await apply('wide')
    await apply('narrow')
    await source.saw('ADDED', 'narrow')
    expect(source.names).toEqual(['narrow'])
  })

  it('as whom one acts', async () => {
    await vicWith('view:projects:his')
    const source = await watch(root.with({ 'impersonate-user': 'vic' }))
    await apply('wide')
    await apply('his')
    await source.saw('ADDED', 'his')
    expect(source.names).toEqual(['his'])
    await bind('view:projects')
    await source.ended()
    expect(lastOf(source)).toMatchObject({ type: 'ERROR', object: { reason: 'AccessChanged' } })
  })
})

describe('a watch ends', () => {
  it.each<[string, () => Promise<unknown>, string]>([
    ['less may be seen', () => bind('view:projects:his'), 'AccessChanged'],
    ['more may be seen', () => bind('view:projects', 'view:*'), 'open'],
    ['the binding is deleted', () => root.must(root.delete('/rbac/vic-rights')), 'AccessChanged'],
    ['the token is revoked', () => root.must(root.delete(`/tokens/${tokenId}?user=vic`)), 'Unauthorized'],
    ['the user is disabled', () => root.must(root.apply({ users: [{ name: 'vic', enabled: false }] })), 'any'],
  ])('B10 on both daemons within a second when %s', async (_, change, reason) => {
    await vicWith('view:projects')
    await apply('anything')
    const elsewhere = vic.at(second.address)
    // Who asks there before that begins with rights that he has no more.
    await until('the other daemon knows', async () => (await elsewhere.names('projects')).includes('anything'))
    const sources = [await watch(vic), await watch(elsewhere)]
    await Promise.all(sources.map((source) => source.saw('ADDED', 'anything')))
    await change()
    const changed = performance.now()
    if (reason === 'open') {
      await apply('something-else')
      await Promise.all(sources.map((source) => source.saw('ADDED', 'something-else')))
      expect(sources.map(({ endedAt }) => endedAt)).toEqual([undefined, undefined])
      return
    }
    for (const source of sources) {
      expect((await source.ended()) - changed).toBeLessThan(goneWithinMs)
      if (reason !== 'any') expect(lastOf(source)).toMatchObject({ type: 'ERROR', object: { reason } })
    }
  })

  it('for who comes back with rights that are not those by which he saw what he knows', async () => {
    await vicWith('view:projects')
    await apply('known')
    const source = await watch(vic)
    await until('a bookmark', () => lastOf(source)?.type === 'BOOKMARK')
    const id = lastOf(source)?.id ?? ''
    source.close()
    await root.must(root.apply({ users: [{ name: 'somebody' }] }))
    const same = await watch(vic.with({ 'last-event-id': id }))
    await apply('news')
    await same.saw('ADDED', 'news')
    same.close()
    await bind('view:projects:known')
    const other = await watch(vic.with({ 'last-event-id': id }))
    await other.ended()
    expect(lastOf(other)).toMatchObject({ type: 'ERROR', object: { status: 410, reason: 'AccessChanged' } })
    expect(other.names).toEqual([])
  })
})

describe('a reader that does not read', () => {
  /** Opens a watch and takes nothing of it. */
  const stalled = async (version: string) => {
    const url = `${first.address}/api/v1/projects?watch=1&resourceVersion=${version}`
    const asking = request(url, { headers: { authorization: `Bearer ${first.token}`, accept: 'text/event-stream' } })
    asking.end()
    const [answer] = (await once(asking, 'response')) as [IncomingMessage]
    answer.on('error', () => undefined)
    return { answer, gone: new Promise((resolve) => answer.once('close', resolve)) }
  }
  const changes = 60
  const large = 'x'.repeat(200_000)

  it('is cut off, keeps nobody else waiting, and misses nothing when he comes back', async () => {
    const version = (await root.must(root.get<Items>('/projects'))).metadata.resourceVersion
    const { answer, gone } = await stalled(version)
    const other = await watch(root, `&resourceVersion=${version}`)
    for (let n = 0; n < changes; n++)
      await root.must(root.apply({ projects: [{ name: 'large', annotations: { n: String(n), large } }] }))
    await until('the other one has all', () => other.changes.length === changes)
    answer.resume()
    await gone
    const again = await watch(root, `&resourceVersion=${version}`)
    await until('he has all as well', () => again.changes.length === changes)
    expect(again.changes.map(({ id }) => id)).toEqual(other.changes.map(({ id }) => id))
  })
})
