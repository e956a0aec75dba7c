import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals'
import { until } from '../../../../test/support/binaries'
import { Caller, type Items } from '../../../../test/support/caller'
import { startDaemon, tokenOf, type TestDaemon } from '../../../../test/support/daemon'
import { EventSource, type WatchEvent } from '../../../../test/support/event-source'
import { STORE, type Store } from '../store/store'
import { Watches } from './watches'

let daemon: TestDaemon
let root: Caller
let opened: EventSource[] = []

beforeAll(async () => {
  daemon = await startDaemon()
  root = new Caller(daemon.address, daemon.token)
}, 60_000)
afterEach(() => closeAll())
afterAll(() => daemon.close())

const watch = async (query = '', caller = root, plural = 'projects') => {
  const source = await EventSource.open(caller, `/${plural}?watch=1${query}`, 'text/event-stream')
  opened.push(source)
  return source
}
const fromStart = (query = '') => watch(`&sendInitialEvents=true${query}`)
const closeAll = () => {
  for (const source of opened) source.close()
  opened = []
}

const apply = (name: string, labels: Record<string, string> = {}, description = '') =>
  root.must(root.apply({ projects: [{ name, labels, ...(description !== '' && { description }) }] }))
const remove = (name: string) => root.must(root.delete(`/projects/${name}`))
const versionNow = async () => (await root.must(root.get<Items>('/projects'))).metadata.resourceVersion

const told = ({ changes }: { changes: readonly WatchEvent[] }) =>
  changes.map(({ type, object }) => `${type} ${object.metadata.name}`)
const about = (source: EventSource, ...names: string[]) =>
  told(source).filter((text) => names.includes(text.split(' ')[1] ?? ''))
const gate = () => {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { open, opened }
}
const positionOf = (id: string | undefined) => Number(id?.split('.')[1])

describe('a watch', () => {
  it('begins with what is there and a bookmark, then tells what happens in order', async () => {
    await apply('first')
    await apply('second')
    const source = await fromStart()
    await until('a bookmark', () => source.events.some(({ type }) => type === 'BOOKMARK') || undefined)
    expect(told(source)).toEqual(['ADDED first', 'ADDED second'])
    const mark = source.events[2]
    expect(mark).toMatchObject({
      type: 'BOOKMARK',
      object: { metadata: { annotations: { 'mcpctl.dev/initial-events-end': 'true' } } },
    })
    expect(source.events[0]?.id).toBeUndefined()
    await apply('third')
    await apply('first', {}, 'changed')
    await remove('second')
    await apply('second')
    await source.saw('MODIFIED', 'first')
    await until('all is told', () => about(source, 'second').length === 3 || undefined)
    const live = source.changes.slice(2)
    expect(told({ changes: live })).toEqual(['ADDED third', 'MODIFIED first', 'DELETED second', 'ADDED second'])
    const ids = [mark, ...live].map((event) => positionOf(event?.id))
    expect(ids).toEqual(ids.toSorted((a, b) => a - b))
    expect(new Set(ids).size).toBe(ids.length)
    for (const { id, object } of live) expect(object.metadata.resourceVersion).toBe(id)
    expect(live[2]?.object.metadata.uid).not.toBe(live[3]?.object.metadata.uid)
    expect(source.text).toMatch(/^retry: 2000\n\n/)
  })

  it('begins with what comes when it says nothing, and where a list has ended when it says so', async () => {
    await apply('before-list')
    const version = await versionNow()
    await apply('after-list')
    const [now, then] = [await watch(), await watch(`&resourceVersion=${version}`)]
    await apply('much-later')
    await now.saw('ADDED', 'much-later')
    await then.saw('ADDED', 'much-later')
    expect(told(now)).toEqual(['ADDED much-later'])
    expect(told(then)).toEqual(['ADDED after-list', 'ADDED much-later'])
  })

  it('tells what happens to the chosen; what stops being chosen is gone for it', async () => {
    await apply('chosen', { team: 'core' })
    const [byLabel, byName] = [
      await fromStart('&labelSelector=team%3Dcore'),
      await fromStart('&fieldSelector=metadata.name%3Dchosen'),
    ]
    await apply('other', { team: 'rest' })
    await apply('chosen', { team: 'rest' })
    await apply('other', { team: 'core' })
    await apply('chosen', { team: 'core' })
    await remove('chosen')
    await remove('other')
    await byLabel.saw('DELETED', 'other')
    await byName.saw('DELETED', 'chosen')
    expect(told(byLabel)).toEqual([
      'ADDED chosen',
      'DELETED chosen',
      'ADDED other',
      'ADDED chosen',
      'DELETED chosen',
      'DELETED other',
    ])
    expect(told(byName)).toEqual(['ADDED chosen', 'MODIFIED chosen', 'MODIFIED chosen', 'DELETED chosen'])
  })

  it('goes on with the next event however often it is broken off while others write', async () => {
    const version = await versionNow()
    const all = await watch(`&resourceVersion=${version}`)
    const writing = (async () => {
      for (let round = 0; round < 40; round++) await apply(`busy-${String(round % 7)}`, { round: String(round) })
      await apply('busy-last')
    })()
    const seen: WatchEvent[] = []
    for (let last: string | undefined; seen.at(-1)?.object.metadata.name !== 'busy-last';) {
      const from = last === undefined ? version : '1.0'
      const reader = last === undefined ? root : root.with({ 'last-event-id': last })
      const part = await watch(`&resourceVersion=${from}&sendInitialEvents=${String(last !== undefined)}`, reader)
      await until('some events', () => part.events.length > 0 || undefined)
      part.close()
      seen.push(...part.changes)
      last = part.events.at(-1)?.id
    }
    await writing
    await all.saw('ADDED', 'busy-last')
    expect(seen.map(({ id }) => id)).toEqual(all.changes.map(({ id }) => id))
    expect(seen).toHaveLength(41)
  })

  it('of a hundred readers tells each the same', async () => {
    const sources = await Promise.all(Array.from({ length: 45 }, () => watch()))
    const names = Array.from({ length: 30 }, (_, n) => `many-${String(n)}`)
    await Promise.all(names.map((name) => apply(name)))
    await Promise.all(sources.map((source) => until('all', () => source.changes.length === 30 || undefined)))
    const [first] = sources
    for (const source of sources) expect(source.changes).toEqual(first?.changes)
  })

  it('tells all that happens once its head is there, however late it learns where the log is', async () => {
    const { objects } = daemon.parts.app.get<Store>(STORE)
    const [asked, learns] = [gate(), gate()]
    const position = objects.position.bind(objects)
    jest.spyOn(objects, 'position').mockImplementationOnce(async () => {
      asked.open()
      await learns.opened
      return position()
    })
    let isThere = false
    const opening = watch().finally(() => (isThere = true))
    await asked.opened
    await apply('before-the-head')
    expect(isThere).toBe(false)
    learns.open()
    const source = await opening
    await apply('after-the-head')
    await source.saw('ADDED', 'after-the-head')
    expect(told(source)).toEqual(['ADDED after-the-head'])
  })

  it('shows that the connection lives, and how far all has been told', async () => {
    const source = await watch()
    await apply('pulse')
    await source.saw('ADDED', 'pulse')
    const watches = daemon.parts.app.get(Watches)
    const [change] = source.changes
    const mark = await until('a bookmark behind the change', () => {
      watches.beat()
      const told = source.events.findLast(({ type }) => type !== 'ADDED')
      return source.events.at(-1) === told && source.text.includes('\n:\n') && told
    })
    expect(source.text).toContain('\n:\n\n')
    expect(mark.type).toBe('BOOKMARK')
    expect(positionOf(mark.id)).toBeGreaterThanOrEqual(positionOf(change?.id))
    expect(mark.object.metadata.resourceVersion).toBe(mark.id)
  })

  it.each([
    ['a version that is none', '&resourceVersion=x', 400, {}],
    ['a version of another epoch', '&resourceVersion=77.1', 410, {}],
    ['a last id of another epoch', '', 410, { 'last-event-id': '77.1' }],
    ['a last id that is none', '', 400, { 'last-event-id': "1.1' or 1=1" }],
    ['a selector that is none', '&labelSelector==a', 400, {}],
    ['a field that cannot be selected', '&fieldSelector=spec.secret%3Da', 400, {}],
    ['a parameter that is none', '&limit=3', 400, {}],
    ['a word that is neither true nor false', '&sendInitialEvents=perhaps', 400, {}],
  ])('is refused for %s', async (_, query, status, headers) => {
    const answer = await root.with(headers).open('GET', `/api/v1/projects?watch=1${query}`, { accept: '*/*' })
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      status,
      'application/problem+json; charset=utf-8',
    ])
    await answer.body?.cancel()
  })

  it('is refused to who takes no events, and without a token', async () => {
    const json = await root.open('GET', '/api/v1/projects?watch=1')
    expect(json.status).toBe(406)
    const nobody = await new Caller(daemon.address, undefined).open('GET', '/api/v1/projects?watch=1', {
      accept: '*/*',
    })
    expect(nobody.status).toBe(401)
  })

  it('goes on without a loss after the database was away for a moment', async () => {
    const source = await watch()
    await apply('before-the-fault')
    await source.saw('ADDED', 'before-the-fault')
    const owner = await daemon.database.connect()
    await owner.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    )
    await until(
      'writes work',
      async () => (await root.apply({ projects: [{ name: 'after-the-fault' }] })).status === 200,
    )
    await source.saw('ADDED', 'after-the-fault')
    expect(source.endedAt).toBeUndefined()
  })

  it('may be had fifty times with a token, and again when one has ended', async () => {
    const watcher = root.withToken(await tokenOf(daemon, 'watcher'))
    const sources = await Promise.all(Array.from({ length: 50 }, () => watch('', watcher)))
    expect(sources.map(({ status }) => status)).toEqual(sources.map(() => 200))
    const refused = await watcher.open('GET', '/api/v1/projects?watch=1', { accept: 'text/event-stream' })
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5'])
    await refused.body?.cancel()
    sources[7]?.close()
    await until('one is free', async () => {
      const source = await watch('', watcher)
      return source.status === 200 || undefined
    })
  })
})

it('ends with its daemon, and tells to come back soon', async () => {
  const other = await startDaemon({ database: daemon.database })
  const source = await watch('', new Caller(other.address, other.token))
  expect(source.status).toBe(200)
  const began = performance.now()
  await other.close()
  expect((await source.ended()) - began).toBeLessThan(9_000)
  expect(source.text).toMatch(/retry: 500\n\n$/)
})
