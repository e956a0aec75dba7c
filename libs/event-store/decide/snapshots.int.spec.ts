import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { PostgresEventLog } from '../postgres-event-log'
import { event, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import type { Decider } from '../types'
import { Snapshots } from './snapshots'
import { UnitOfWork } from './unit-of-work'

type Counted = { type: 'Counted' | 'Noted'; data: { by?: number } }
interface Counter {
  total: number
  /** Events that this process has folded to get here. */
  folded: number
}

let folds = 0
const counter: Decider<Counter, number, Counted> = {
  category: 'counter',
  events: { Counted: [], Noted: [] },
  initial: { total: 0, folded: 0 },
  decide: (by, { total }) => (by === 0 ? [] : [{ type: 'Counted', data: { by: by + 0 * total } }]),
  evolve: ({ total, folded }, { data }) => {
    folds++
    return { total: total + (data.by ?? 0), folded: folded + 1 }
  },
}

describe('Snapshots', () => {
  let database: TestDatabase
  let log: PostgresEventLog

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
  })
  afterAll(() => database.close())

  const filled = async (streamId: string, count: number) => {
    await log.append(to(streamId, 'any', event({ type: 'Noted' })))
    const counted = Array.from({ length: count - 1 }, () => event({ type: 'Counted', data: { by: 2 } }))
    await log.append(to(streamId, 1, ...counted))
  }
  const stored = async (streamId: string) => {
    const { rows } = await database.pool.query<{ version: string; state: Counter; fold: string; hash: string }>(
      `select version::text, state, fold, encode(hash, 'hex') as hash from es.snapshot where stream_id = $1`,
      [streamId],
    )
    return rows[0]
  }
  const unit = (fold = 'v1') => new UnitOfWork(log, { meta: event().meta }, new Snapshots(database.pool, fold))
  const foldsOf = async (work: UnitOfWork, streamId: string) => {
    folds = 0
    await work.decide(counter, streamId, 0)
    return folds
  }
  const kept = (streamId: string, version: number) =>
    eventually(async () => (await stored(streamId))?.version === String(version))

  it('are not made of short streams', async () => {
    await filled('counter-short', 511)
    expect(await foldsOf(unit(), 'counter-short')).toBe(511)
    expect(await stored('counter-short')).toBeUndefined()
  })

  it('spare the folding of what was folded before, and are renewed as the stream grows', async () => {
    await filled('counter-long', 600)
    expect(await foldsOf(unit(), 'counter-long')).toBe(600)
    await kept('counter-long', 600)
    await log.append(to('counter-long', 600, event({ type: 'Counted', data: { by: 5 } })))
    expect(await foldsOf(unit(), 'counter-long')).toBe(1)
    const more = Array.from({ length: 600 }, () => event({ type: 'Counted', data: { by: 1 } }))
    await log.append(to('counter-long', 601, ...more))
    expect(await foldsOf(unit(), 'counter-long')).toBe(601)
    await kept('counter-long', 1201)
    expect((await stored('counter-long'))?.state).toEqual({ total: 599 * 2 + 5 + 600, folded: 1201 })
    const writing = unit()
    await writing.decide(counter, 'counter-long', 7)
    expect(await writing.commit()).toMatchObject({ status: 'ok', versions: { 'counter-long': 1202 } })
  })

  it('know where the last event of each type was', async () => {
    await filled('counter-types', 600)
    const [first] = await log.readStream('counter-types', { limit: 1 })
    const [last] = await log.readStream('counter-types', { backwards: true, limit: 1 })
    await foldsOf(unit(), 'counter-types')
    await kept('counter-types', 600)
    const work = unit()
    expect(await work.lastPosition('counter', 'counter-types', ['Counted'])).toBe(first?.position)
    expect(await work.lastPosition('counter', 'counter-types', [])).toBe(last?.position)
    expect(await work.lastPosition('counter', 'counter-types', ['Counted', 'Noted'])).toBe(0n)
  })

  it('of other code, of another past, or deleted, are folded again', async () => {
    await filled('counter-void', 600)
    await foldsOf(unit('v1'), 'counter-void')
    await kept('counter-void', 600)
    expect(await foldsOf(unit('v2'), 'counter-void')).toBe(600)
    await eventually(async () => (await stored('counter-void'))?.fold === 'v2')
    await database.pool.query(`update es.snapshot set hash = '\\x00' where stream_id = 'counter-void'`)
    expect(await foldsOf(unit('v2'), 'counter-void')).toBe(600)
    await eventually(async () => (await stored('counter-void'))?.hash !== '00')
    expect(await foldsOf(unit('v2'), 'counter-void')).toBe(0)
    await database.pool.query('delete from es.snapshot')
    expect(await foldsOf(unit('v2'), 'counter-void')).toBe(600)
  })

  it('cost nothing when they cannot be kept', async () => {
    await filled('counter-unkept', 600)
    const broken: Decider<{ total: bigint }, number, Counted> = {
      ...counter,
      initial: { total: 0n },
      decide: () => [],
      evolve: ({ total }, { data }) => ({ total: total + BigInt(data.by ?? 0) }),
    }
    const silent: Decider<{ seen: Set<string> }, number, Counted> = {
      ...counter,
      initial: { seen: new Set() },
      decide: () => [],
      evolve: ({ seen }, { type }) => ({ seen: new Set([...seen, type]) }),
    }
    await unit().decide(broken, 'counter-unkept', 0)
    await unit().decide(silent, 'counter-unkept', 0)
    const keeper = new Snapshots(database.pool, 'v1')
    const [last] = await log.readStream('counter-unkept', { backwards: true, limit: 1 })
    const snapshot = { version: 600, hash: last?.hash ?? '', positions: {} }
    await expect(keeper.keep('counter-unkept', { ...snapshot, state: { seen: new Set() } })).rejects.toThrow(
      '/state/seen',
    )
    expect(await stored('counter-unkept')).toBeUndefined()
    expect(await foldsOf(unit(), 'counter-unkept')).toBe(600)
  })

  it('are not replaced by older ones', async () => {
    await filled('counter-order', 700)
    const [earlier, later] = await Promise.all([
      log.readStream('counter-order', { from: 600, limit: 1 }),
      log.readStream('counter-order', { from: 700 }),
    ])
    const keeper = new Snapshots(database.pool, 'v1')
    const at = (version: number, hash = '') => ({ version, hash, positions: {}, state: { total: version, folded: 0 } })
    await keeper.keep('counter-order', at(700, later[0]?.hash))
    await keeper.keep('counter-order', at(600, earlier[0]?.hash))
    expect((await stored('counter-order'))?.version).toBe('700')
  })
})
