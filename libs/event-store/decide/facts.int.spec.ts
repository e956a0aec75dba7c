import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { PostgresEventLog } from '../postgres-event-log'
import { event, to } from '../testing/event-fixtures'
import type { Decider, JsonObject, ProjectedEvent } from '../types'
import { Overtaken } from './overtaken'
import { UnitOfWork } from './unit-of-work'

type AdminEvent = { type: 'AdminNamed' | 'AdminDismissed'; data: object }
type AdminCommand = { type: 'name' } | { type: 'dismiss'; admins: number }

/** A rule that no stream can keep by itself: one admin is always left. */
const admin: Decider<boolean, AdminCommand, AdminEvent> = {
  category: 'admin',
  events: { AdminNamed: [], AdminDismissed: [] },
  initial: false,
  decide: (command) => {
    if (command.type === 'name') return [{ type: 'AdminNamed', data: {} }]
    if (command.admins < 2) throw new DomainError('Conflict', 'the last admin')
    return [{ type: 'AdminDismissed', data: {} }]
  },
  evolve: (_, { type }) => type === 'AdminNamed',
}

describe('Facts from other streams', () => {
  let database: TestDatabase
  let logs: PostgresEventLog[]

  beforeAll(async () => {
    database = await testDatabase()
    logs = [1, 2, 3].map(() => new PostgresEventLog({ pool: database.pool }))
  })
  afterAll(() => database.close())

  const unit = (log = logs[0] as PostgresEventLog) => new UnitOfWork(log, { meta: event().meta })
  const count = async (work: UnitOfWork, streams?: string[]) => {
    const facts = await work.facts(admin, streams && { streams })
    return facts.reduce((admins, { type }) => admins + (type === 'AdminNamed' ? 1 : -1), 0)
  }
  const name = async (who: string) => {
    const work = unit()
    await work.decide(admin, who, { type: 'name' })
    await work.commit()
  }
  const dismiss = async (who: string, log?: PostgresEventLog, attempts = 10): Promise<string> => {
    const work = unit(log)
    const admins = await count(work)
    try {
      await work.decide(admin, who, { type: 'dismiss', admins })
      await work.commit()
      return 'dismissed'
    } catch (error) {
      if (error instanceof Overtaken && attempts > 0) return dismiss(who, log, attempts - 1)
      if (error instanceof DomainError) return error.code
      throw error
    }
  }

  it('hold until the append: of all admins who go at the same moment, one stays', async () => {
    const everyone = Array.from({ length: 12 }, (_, i) => `admin-${i}`)
    await Promise.all(everyone.map(name))
    const outcomes = await Promise.all(everyone.map((who, i) => dismiss(who, logs[i % 3], 100)))
    expect(outcomes.filter((outcome) => outcome === 'dismissed')).toHaveLength(11)
    expect(outcomes.filter((outcome) => outcome === 'Conflict')).toHaveLength(1)
    expect(await count(unit())).toBe(1)
  })

  it('are overtaken by what is stored after they were read, and by nothing else', async () => {
    const log = logs[0] as PostgresEventLog
    const overtaken = unit()
    await count(overtaken)
    const other = unit()
    await count(other, ['admin-of-elsewhere'])
    await name('admin-late')
    await overtaken.decide(admin, 'admin-x', { type: 'name' })
    await expect(overtaken.commit()).rejects.toThrow(Overtaken)
    expect(await log.readStream('admin-x')).toEqual([])
    await log.append(to('noise', 'any', event({ type: 'LoggedIn' })))
    await other.decide(admin, 'admin-y', { type: 'name' })
    expect(await other.commit()).toMatchObject({ status: 'ok' })
  })

  it('of several kinds must all hold', async () => {
    const log = logs[0] as PostgresEventLog
    for (const disturbance of ['AdminNamed', 'SecretUsed', 'Unrelated']) {
      const work = unit()
      await work.facts({ category: 'secret', events: { SecretUsed: [] } })
      await count(work)
      await log.append(to(`disturbing-${disturbance}`, 'none', event({ type: disturbance })))
      await work.decide(admin, `admin-z-${disturbance}`, { type: 'name' })
      if (disturbance === 'Unrelated') expect(await work.commit()).toMatchObject({ status: 'ok' })
      else await expect(work.commit()).rejects.toThrow(Overtaken)
    }
  })

  it('are complete, however many there are', async () => {
    const log = logs[0] as PostgresEventLog
    const counted = { category: 'test', events: { Counted: [] } }
    const many = Array.from({ length: 2_345 }, () => event({ type: 'Counted' }))
    await log.append(to('counted', 'none', ...many))
    expect((await unit().facts(counted)).map(({ id }) => id)).toEqual(many.map(({ id }) => id))
    expect(await unit().facts(counted, { streams: ['nowhere'] })).toEqual([])
  })

  it('are read by pages that fit into memory, and folded where all of them would not', async () => {
    const log = logs[0] as PostgresEventLog
    const bulky = { category: 'test', events: { Bulky: [] } }
    const text = (length: number) => event({ type: 'Bulky', data: { text: 'x'.repeat(length) } })
    const mebibyte = 1024 * 1024
    await log.append(to('bulky', 'none', text(900_000), text(10), text(10)))
    const sizes = async (maxBytes: number) =>
      (await log.read(0n, 1_000, { types: ['Bulky'], maxBytes })).map(({ data }) => (data.text as string).length)
    expect(await sizes(1)).toEqual([900_000])
    expect(await sizes(900_000)).toEqual([900_000])
    expect(await sizes(mebibyte)).toEqual([900_000, 10, 10])
    // As the append functions would have stored them, in a hundredth of the time.
    await (
      await database.connect()
    ).query(`insert into es.event
      select e.position + n, category, stream_id, version + n, gen_random_uuid(), type, schema_version,
        jsonb_build_object('text', repeat('x', 950000)), meta, null, recorded_at, content_hash, hash
      from es.event e, generate_series(1, 72) n where stream_id = 'bulky' and version = 3`)
    // Compressed they are stored in a hundredth.
    expect(await sizes(2 * mebibyte)).toEqual([900_000, 10, 10, 950_000])
    const size = { initial: 0, evolve: (sum: number, { data }: ProjectedEvent) => sum + (data.text as string).length }
    expect(await unit().foldFacts(bulky, size)).toBe(900_020 + 72 * 950_000)
    await expect(unit().facts(bulky)).rejects.toMatchObject({ code: 'TooLarge' })
    expect(await unit().facts(bulky, { streams: ['nowhere'] })).toEqual([])
    const overtaken = unit()
    await overtaken.foldFacts(bulky, size, { streams: ['bulky'] })
    await log.append(to('bulky', 'any', text(1)))
    await overtaken.decide(admin, 'admin-bulky', { type: 'name' })
    await expect(overtaken.commit()).rejects.toThrow(Overtaken)
  })

  it('come in their current shape, and stop at what a newer program has stored', async () => {
    const log = logs[0] as PostgresEventLog
    const paid = { category: 'test', events: { Paid: [({ units }: JsonObject) => ({ cents: Number(units) * 100 })] } }
    await log.append(to('paid', 'none', event({ type: 'Paid', data: { units: 3 } })))
    expect(await unit().facts(paid)).toMatchObject([{ schemaVersion: 2, data: { cents: 300 } }])
    await log.append(to('paid', 1, event({ type: 'Paid', schemaVersion: 3 })))
    await expect(unit().facts(paid)).rejects.toMatchObject({ code: 'UnknownEvent' })
  })

  it('decisions side by side on one stream are all appended', async () => {
    const work = unit()
    await Promise.all([1, 2, 3].map(() => work.decide(admin, 'side-by-side', { type: 'name' })))
    expect(await work.commit()).toMatchObject({ status: 'ok', versions: { 'side-by-side': 3 } })
  })
})
