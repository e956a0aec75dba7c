import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { v7 as uuidv7 } from 'uuid'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, events, release, take, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { PostgresEventLog } from '../postgres-event-log'
import type { ExpectedVersion } from '../types'

describe('Appending', () => {
  let database: TestDatabase
  let log: PostgresEventLog
  let otherDaemon: PostgresEventLog

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
    otherDaemon = new PostgresEventLog({ pool: database.pool })
  })
  afterAll(() => database.close())

  const versionsOf = async (stream: string) => (await log.readStream(stream)).map(({ version }) => version)

  describe('expected versions', () => {
    it('C01 a first append numbers versions from 1 and positions without a gap', async () => {
      const head = await log.head()
      const verdict = await log.append(to('c01', 'none', ...events(3)))
      expect(verdict).toEqual({ status: 'ok', first: head + 1n, last: head + 3n, versions: { c01: 3 } })
      const stored = await log.readStream('c01')
      expect(stored.map(({ version, position }) => [version, position])).toEqual([
        [1, head + 1n],
        [2, head + 2n],
        [3, head + 3n],
      ])
    })

    it('C02 none is refused on a stream that exists', async () => {
      await log.append(to('c02', 'none', event()))
      const head = await log.head()
      const verdict = await log.append(to('c02', 'none', event()))
      expect(verdict).toMatchObject({ status: 'conflict', streamId: 'c02', actual: 1 })
      expect(await versionsOf('c02')).toEqual([1])
      expect(await log.head()).toBe(head)
    })

    it('C03 exists is refused on a stream that does not exist, and makes none', async () => {
      expect(await log.append(to('c03', 'exists', event()))).toMatchObject({ status: 'conflict', actual: 0 })
      expect(await versionsOf('c03')).toEqual([])
    })

    it('C04 exists extends', async () => {
      await log.append(to('c04', 'none', ...events(3)))
      expect(await log.append(to('c04', 'exists', event()))).toMatchObject({ status: 'ok', versions: { c04: 4 } })
    })

    it('C05 any creates and extends', async () => {
      expect(await log.append(to('c05', 'any', event()))).toMatchObject({ status: 'ok', versions: { c05: 1 } })
      expect(await log.append(to('c05', 'any', event()))).toMatchObject({ status: 'ok', versions: { c05: 2 } })
    })

    it('C06 an exact version must be neither stale nor in the future', async () => {
      await log.append(to('c06', 0, ...events(6)))
      expect(await log.append(to('c06', 5, event()))).toMatchObject({ status: 'conflict', actual: 6 })
      expect(await log.append(to('c06', 7, event()))).toMatchObject({ status: 'conflict', actual: 6 })
      expect(await log.append(to('c06', 6, event()))).toMatchObject({ status: 'ok', versions: { c06: 7 } })
    })

    it('C12 an append of nothing checks the expectation, uses no position and notifies nobody', async () => {
      await log.append(to('c12', 'none', event()))
      const listener = await database.connect()
      const heard: string[] = []
      listener.on('notification', ({ channel }) => heard.push(channel))
      await listener.query('listen es_event')
      const head = await log.head()
      expect(await log.append(to('c12', 1))).toEqual({ status: 'ok', first: null, last: null, versions: { c12: 1 } })
      expect(await log.append(to('c12', 2))).toMatchObject({ status: 'conflict', actual: 1 })
      expect(await log.head()).toBe(head)
      await listener.query('select 1')
      expect(heard).toEqual([])
      await log.append(to('c12', 1, event()))
      await eventually(() => heard.length === 1)
    })

    it('C12 nor does one of a whole flush', async () => {
      const head = await log.head()
      const verdicts = await Promise.all(
        ['any', 'exists', 'none'].map((expected) => log.append(to('c12-flush', expected as ExpectedVersion))),
      )
      expect(verdicts.map(({ status }) => status)).toEqual(['ok', 'conflict', 'ok'])
      expect(await log.head()).toBe(head)
    })

    it('C15 versions go on beyond 2^31', async () => {
      const owner = await database.connect()
      await log.append(to('c15', 'none', event()))
      await owner.query('begin; set local session_replication_role = replica')
      await owner.query(`update es.event set version = 2147483647 where stream_id = 'c15'`)
      await owner.query('commit')
      const verdict = await log.append(to('c15', 2147483647, event()))
      expect(verdict).toMatchObject({ status: 'ok', versions: { c15: 2147483648 } })
      expect(await versionsOf('c15')).toEqual([2147483647, 2147483648])
      const flushed = await Promise.all([log.append(to('c15', 'any', event())), log.append(to('c15', 'any', event()))])
      expect(flushed).toMatchObject([{ versions: { c15: 2147483649 } }, { versions: { c15: 2147483650 } }])
      const conflict = await log.append(to('c15', 2147483649, event()))
      expect(conflict).toMatchObject({ status: 'conflict', actual: 2147483650 })
      const last = (await log.read((await log.head()) - 1n, 1))[0]
      expect(last).toMatchObject({ streamId: 'c15', version: 2147483650 })
    })
  })

  describe('requests that span streams', () => {
    it('C11 store all or nothing and use no position when refused', async () => {
      await log.append(to('c11-b', 'none', event()))
      const head = await log.head()
      const verdict = await log.append({
        streams: [...to('c11-a', 'none', ...events(2)).streams, ...to('c11-b', 'none', event()).streams],
      })
      expect(verdict).toMatchObject({ status: 'conflict', streamId: 'c11-b', actual: 1 })
      expect(await versionsOf('c11-a')).toEqual([])
      expect(await log.head()).toBe(head)
    })

    it('C11 store nothing of three events whose third is refused', async () => {
      const [used] = events(1)
      await log.append(to('c11-c', 'none', used!, event({ claims: [take('c11')] })))
      const head = await log.head()
      const refused = [...events(2), used!]
      expect(await log.append(to('c11-d', 'none', ...refused))).toMatchObject({ status: 'conflict', streamId: 'c11-d' })
      const claiming = [event({ claims: [take('c11-free')] }), event(), event({ claims: [take('c11')] })]
      expect(await log.append(to('c11-d', 'none', ...claiming))).toMatchObject({ status: 'claim-taken', key: 'c11' })
      expect(await versionsOf('c11-d')).toEqual([])
      expect(await log.claimOwner('name', 'c11-free')).toBeUndefined()
      expect(await log.append(to('c11-d', 'none', event()))).toMatchObject({ first: head + 1n })
    })

    it('judge a stream that is named twice by what the first part leaves', async () => {
      const twice = (second: ExpectedVersion) => ({
        streams: [...to('twice', 'any', ...events(2)).streams, ...to('twice', second, event()).streams],
      })
      expect(await log.append(twice(1))).toMatchObject({ status: 'conflict', streamId: 'twice', actual: 2 })
      expect(await log.append(twice('none'))).toMatchObject({ status: 'conflict', streamId: 'twice', actual: 2 })
      expect(await versionsOf('twice')).toEqual([])
      expect(await log.append(twice(2))).toMatchObject({ status: 'ok', versions: { twice: 3 } })
      expect(await log.append(twice('exists'))).toMatchObject({ status: 'ok', versions: { twice: 6 } })
      expect(await versionsOf('twice')).toEqual([1, 2, 3, 4, 5, 6])
    })

    it('hold a stream without events to its expectation', async () => {
      const expecting = (expected: ExpectedVersion) => ({
        streams: [...to('held', expected).streams, ...to('held-other', 'any', event()).streams],
      })
      expect(await log.append(expecting('exists'))).toMatchObject({ status: 'conflict', streamId: 'held', actual: 0 })
      expect(await log.append(expecting('none'))).toMatchObject({
        status: 'ok',
        versions: { held: 0, 'held-other': 1 },
      })
    })

    it('answer with the version of each stream, one named twice included', async () => {
      const verdict = await log.append({
        streams: [
          ...to('span-a', 'none', event()).streams,
          ...to('span-b', 'any', ...events(2)).streams,
          ...to('span-a', 1, event()).streams,
        ],
      })
      expect(verdict).toMatchObject({ status: 'ok', versions: { 'span-a': 2, 'span-b': 2 } })
    })
  })

  describe('claims', () => {
    it('let one stream hold a key until it releases it', async () => {
      await log.append(to('claim-a', 'none', event({ claims: [take('k1')] })))
      expect(await log.append(to('claim-b', 'none', event({ claims: [take('k1')] })))).toEqual({
        status: 'claim-taken',
        scope: 'name',
        key: 'k1',
        owner: 'claim-a',
      })
      expect(await log.claimOwner('name', 'k1')).toBe('claim-a')
      await log.append(to('claim-a', 1, event({ claims: [release('k1')] })))
      expect(await log.claimOwner('name', 'k1')).toBeUndefined()
      const retried = await log.append(to('claim-b', 'none', event({ claims: [take('k1')] })))
      expect(retried).toMatchObject({ status: 'ok' })
      expect((await log.readStream('claim-b'))[0]?.claims).toEqual([take('k1')])
    })

    it('may be taken again by their holder, and released in vain by others', async () => {
      await log.append(to('claim-c', 'none', event({ claims: [take('k2')] })))
      expect(await log.append(to('claim-c', 1, event({ claims: [take('k2')] })))).toMatchObject({ status: 'ok' })
      expect(await log.append(to('claim-d', 0, event({ claims: [release('k2')] })))).toMatchObject({ status: 'ok' })
      expect(await log.claimOwner('name', 'k2')).toBe('claim-c')
    })

    it('are all given back when a later one of the request is taken', async () => {
      await log.append(to('claim-e', 'none', event({ claims: [take('k3'), take('k4')] })))
      const verdict = await log.append({
        streams: [
          ...to('claim-e', 1, event({ claims: [release('k3')] })).streams,
          ...to('claim-f', 'none', event({ claims: [take('k3'), take('k5'), take('k4')] })).streams,
        ],
      })
      expect(verdict).toEqual({ status: 'claim-taken', scope: 'name', key: 'k4', owner: 'claim-e' })
      expect(await log.claimOwner('name', 'k3')).toBe('claim-e')
      expect(await log.claimOwner('name', 'k5')).toBeUndefined()
      expect(await versionsOf('claim-f')).toEqual([])
    })

    it('move from one stream to another within a request', async () => {
      await log.append(to('claim-g', 'none', event({ claims: [take('k6')] })))
      const verdict = await log.append({
        streams: [
          ...to('claim-g', 1, event({ claims: [release('k6')] })).streams,
          ...to('claim-h', 'none', event({ claims: [take('k6')] })).streams,
        ],
      })
      expect(verdict).toMatchObject({ status: 'ok' })
      expect(await log.claimOwner('name', 'k6')).toBe('claim-h')
    })
  })

  describe('conditions', () => {
    it('refuse when an event of a named type followed, and only then', async () => {
      const after = await log.head()
      await log.append(to('cond-a', 'none', event({ type: 'Unrelated' })))
      const asked = (types: string[]) => ({ ...to('cond-b', 'any', event()), condition: { after, types } })
      expect(await log.append(asked(['Granted', 'Revoked']))).toMatchObject({ status: 'ok' })
      const granted = await log.append(to('cond-c', 'none', event({ type: 'Granted' })))
      const position = granted.status === 'ok' ? granted.first : undefined
      expect(await log.append(asked(['Revoked', 'Granted']))).toEqual({ status: 'condition-failed', position })
      expect(await versionsOf('cond-b')).toEqual([1])
      const fresh = { ...asked(['Granted']), condition: { after: await log.head(), types: ['Granted'] } }
      expect(await log.append(fresh)).toMatchObject({ status: 'ok' })
    })

    it('may be narrowed to streams', async () => {
      const after = await log.head()
      await log.append(to('cond-d', 'none', event({ type: 'Mounted' })))
      const asked = (streams: string[]) => ({
        ...to('cond-e', 'any', event()),
        condition: { after, types: ['Mounted'], streams },
      })
      expect(await log.append(asked(['cond-x', 'cond-y']))).toMatchObject({ status: 'ok' })
      expect(await log.append(asked(['cond-x', 'cond-d']))).toMatchObject({ status: 'condition-failed' })
    })

    it('take claims back when they fail', async () => {
      const after = await log.head()
      await log.append(to('cond-f', 'none', event({ type: 'Mounted' })))
      const verdict = await log.append({
        ...to('cond-g', 'none', event({ claims: [take('k7')] })),
        condition: { after, types: ['Mounted'] },
      })
      expect(verdict).toMatchObject({ status: 'condition-failed' })
      expect(await log.claimOwner('name', 'k7')).toBeUndefined()
    })
  })

  describe('fences', () => {
    it('refuse whoever acts under an older term', async () => {
      const nextTerm = async () => {
        const { rows } = await database.pool.query(`select es.next_term('leader', '127.0.0.1:1')::int as term`)
        return rows[0].term as number
      }
      const term = await nextTerm()
      const under = (given: number) => ({ ...to('fence', 'any', event()), fence: { name: 'leader', term: given } })
      expect(await log.append(under(term))).toMatchObject({ status: 'ok' })
      expect(await nextTerm()).toBe(term + 1)
      expect(await log.append(under(term))).toEqual({ status: 'fenced', term: term + 1 })
      expect(await log.append(under(term + 1))).toMatchObject({ status: 'ok' })
      expect(await versionsOf('fence')).toEqual([1, 2])
    })
  })

  describe('commands', () => {
    const command = (requestHash = 'aa') => ({ id: uuidv7(), requestHash, result: { changed: true } })

    it('are answered again with the first answer', async () => {
      const asked = { ...to('cmd-a', 'none', event()), command: command() }
      const first = await log.append(asked)
      const again = await otherDaemon.append({ ...to('cmd-a', 'none', event()), command: asked.command })
      expect(first.status).toBe('ok')
      if (first.status !== 'ok') return
      const { first: from, last } = first
      expect(again).toEqual({ status: 'duplicate', first: from, last, result: { changed: true } })
      expect(await log.command(asked.command.id)).toEqual({
        requestHash: 'aa',
        first: from,
        last,
        result: { changed: true },
      })
      expect(await versionsOf('cmd-a')).toEqual([1])
    })

    it('refuse another request under the same id', async () => {
      const asked = { ...to('cmd-b', 'none', event()), command: command() }
      await log.append(asked)
      const other = { ...to('cmd-b', 1, event()), command: { ...asked.command, requestHash: 'bb' } }
      expect(await log.append(other)).toEqual({ status: 'command-mismatch' })
    })

    it('that decided nothing are kept as well', async () => {
      const asked = { streams: [], command: command() }
      expect(await log.append(asked)).toEqual({ status: 'ok', first: null, last: null, versions: {} })
      expect(await log.append(asked)).toEqual({
        status: 'duplicate',
        first: null,
        last: null,
        result: { changed: true },
      })
    })

    it('that were refused may be tried again', async () => {
      const asked = { ...to('cmd-c', 'exists', event()), command: command() }
      expect(await log.append(asked)).toMatchObject({ status: 'conflict' })
      expect(await log.command(asked.command.id)).toBeUndefined()
      await log.append(to('cmd-c', 'none', event()))
      expect(await log.append(asked)).toMatchObject({ status: 'ok' })
    })
  })

  it('refusals come in the order duplicate, fence, version, claim, condition', async () => {
    await database.pool.query(`select es.next_term('order', 'x'), es.next_term('order', 'y')`)
    const after = await log.head()
    const stored = event({ type: 'Watched' })
    await log.append(to('order-a', 'none', stored, event({ claims: [take('order')] })))
    const fence = { name: 'order', term: 1 }
    const condition = { after, types: ['Watched'] }
    const claiming = () => event({ claims: [take('order')] })
    const ask = async (request: Parameters<typeof log.append>[0]) => (await log.append(request)).status
    expect(await ask({ ...to('order-a', 'none', stored), fence, condition })).toBe('duplicate')
    expect(await ask({ ...to('order-b', 9, claiming()), fence, condition })).toBe('fenced')
    expect(await ask({ ...to('order-b', 9, claiming()), condition })).toBe('conflict')
    expect(await ask({ ...to('order-b', 0, claiming()), condition })).toBe('claim-taken')
    expect(await ask({ ...to('order-b', 0, event()), condition })).toBe('condition-failed')
  })
})
