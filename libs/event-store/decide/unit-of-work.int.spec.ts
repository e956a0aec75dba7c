import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { v4 as uuidv4 } from 'uuid'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { contentHash } from '../append/event-text'
import { PostgresEventLog } from '../postgres-event-log'
import { event } from '../testing/event-fixtures'
import type { Decider, JsonObject, NewEvent } from '../types'
import { UnitOfWork } from './unit-of-work'

type Deposit = { type: 'Deposited'; data: { cents: number } }

/** An account whose deposits were once told in whole units. */
const account: Decider<number, number, Deposit> = {
  category: 'account',
  events: { Deposited: [({ units }: JsonObject) => ({ cents: Number(units) * 100 })] },
  initial: 0,
  decide: (target, balance) => (target > balance ? [{ type: 'Deposited', data: { cents: target - balance } }] : []),
  evolve: (balance, { data }) => balance + data.cents,
}

describe('A unit of work', () => {
  let database: TestDatabase
  let log: PostgresEventLog

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
  })
  afterAll(() => database.close())

  const unit = () => new UnitOfWork(log, { meta: event().meta })
  const store = (streamId: string, ...events: NewEvent[]) =>
    log.append({ streams: [{ streamId, category: 'account', expected: 'any', events }] })

  it('decides on old events in their current shape, and writes the current schema version', async () => {
    await store('account-1', event({ type: 'Deposited', schemaVersion: 1, data: { units: 3 } }))
    const work = unit()
    expect(await work.decide(account, 'account-1', 350)).toEqual([{ type: 'Deposited', data: { cents: 50 } }])
    expect(await work.decide(account, 'account-1', 350)).toEqual([])
    await work.commit()
    const stored = await log.readStream('account-1')
    expect(stored.map(({ schemaVersion, data }) => ({ schemaVersion, data }))).toEqual([
      { schemaVersion: 1, data: { units: 3 } },
      { schemaVersion: 2, data: { cents: 50 } },
    ])
    for (const each of stored) expect(contentHash(each, each)).toBe(each.contentHash)
  })

  it('folds the past of a stream once, however many decisions are taken, and each sees what the ones before have staged', async () => {
    const deposits = Array.from({ length: 200 }, () =>
      event({ type: 'Deposited', schemaVersion: 2, data: { cents: 1 } }),
    )
    await store('account-often', ...deposits)
    let folds = 0
    const counting = {
      ...account,
      evolve: (balance: number, deposit: Deposit) => {
        folds++
        return account.evolve(balance, deposit)
      },
    }
    const work = unit()
    for (let target = 201; target <= 300; target++)
      expect(await work.decide(counting, 'account-often', target)).toEqual([{ type: 'Deposited', data: { cents: 1 } }])
    expect(folds).toBe(200 + 99)
    // Another decider has a state of its own.
    const twice = { ...account, initial: 1_000 }
    expect(await work.decide(twice, 'account-often', 1_301)).toEqual([{ type: 'Deposited', data: { cents: 1 } }])
    expect(await work.decide(counting, 'account-often', 302)).toEqual([{ type: 'Deposited', data: { cents: 1 } }])
    expect(await work.commit()).toMatchObject({ versions: { 'account-often': 302 } })
    expect(await unit().decide(account, 'account-often', 302)).toEqual([])
  })

  it('stages all that a decision says, or nothing', async () => {
    const strange = {
      ...account,
      decide: (): Deposit[] => [
        { type: 'Deposited', data: { cents: 1 } },
        { type: 'Undeclared', data: { cents: 1 } } as unknown as Deposit,
      ],
    }
    const work = unit()
    await expect(work.decide(strange, 'account-strange', 1)).rejects.toThrow('declares no event Undeclared')
    expect(await work.commit()).toEqual({ status: 'ok', first: null, last: null, versions: {} })
    expect(await log.readStream('account-strange')).toEqual([])
  })

  it.each([
    ['an event of an unknown type', event({ type: 'Frozen' })],
    ['an event of a newer schema version', event({ type: 'Deposited', schemaVersion: 3, data: { exact: '1.00' } })],
  ])('stops at %s, and writes nothing', async (_, newer) => {
    const streamId = `account-${newer.id}`
    await store(streamId, event({ type: 'Deposited', schemaVersion: 2, data: { cents: 100 } }), newer)
    const [, stored] = await log.readStream(streamId)
    await expect(unit().decide(account, streamId, 500)).rejects.toMatchObject({
      code: 'UnknownEvent',
      event: { streamId, position: stored!.position, type: newer.type, schemaVersion: newer.schemaVersion },
    })
    expect(await log.readStream(streamId)).toHaveLength(2)
  })

  it('tells the state that the next decision would be taken on', async () => {
    await store('account-told', event({ type: 'Deposited', schemaVersion: 2, data: { cents: 10 } }))
    const work = unit()
    expect(await work.state(account, 'account-told')).toBe(10)
    await work.decide(account, 'account-told', 25)
    expect(await work.state(account, 'account-told')).toBe(25)
    expect(await work.state(account, 'account-new')).toBe(0)
  })

  describe('with rows alongside', () => {
    // A table that the application's role may write, as side tables are.
    beforeAll(() => database.pool.query('create table rm.alongside (note text primary key)'))
    const notes = async () =>
      (await database.pool.query<{ note: string }>('select note from rm.alongside order by 1')).rows.map(
        ({ note }) => note,
      )
    const noting = (work: UnitOfWork, note: string) =>
      work.alongside(async (transaction) => {
        await transaction.query('insert into rm.alongside values ($1)', [note])
      })

    it('stores them with the events, in the order in which they were given', async () => {
      const work = unit()
      await work.decide(account, 'account-rows', 5)
      noting(work, 'first')
      work.alongside(async (transaction) => {
        await transaction.query(`update rm.alongside set note = note || ' and second' where note = 'first'`)
      })
      expect(await work.commit()).toMatchObject({ status: 'ok', versions: { 'account-rows': 1 } })
      expect(await notes()).toEqual(['first and second'])
    })

    it('stores neither when the log refuses, and is decided again', async () => {
      const [one, other] = [unit(), unit()]
      for (const work of [one, other]) {
        await work.decide(account, 'account-raced', 5)
        noting(work, `raced ${String(work === one)}`)
      }
      const ends = await Promise.allSettled([one.commit(), other.commit()])
      expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
      expect(ends.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { name: 'Overtaken' } })
      expect((await notes()).filter((note) => note.startsWith('raced'))).toHaveLength(1)
      expect(await log.readStream('account-raced')).toHaveLength(1)
    })

    it('stores neither when the rows cannot be written', async () => {
      const work = unit()
      await work.decide(account, 'account-broken', 5)
      noting(work, 'broken')
      noting(work, 'broken')
      await expect(work.commit()).rejects.toThrow()
      expect(await log.readStream('account-broken')).toEqual([])
      expect(await notes()).not.toContain('broken')
    })

    it('stores them without events too', async () => {
      const work = unit()
      noting(work, 'alone')
      expect(await work.commit()).toMatchObject({ status: 'ok', last: null })
      expect(await notes()).toContain('alone')
    })

    it('answers a command that was answered before, and writes nothing', async () => {
      const command = { id: uuidv4(), requestHash: 'h', result: { done: 1 } }
      const commit = async (target: number, note: string) => {
        const work = unit()
        await work.decide(account, 'account-command', target)
        noting(work, note)
        return work.commit(command)
      }
      expect(await commit(1, 'asked')).toMatchObject({ status: 'ok' })
      expect(await commit(2, 'asked again')).toMatchObject({ status: 'duplicate', result: { done: 1 } })
      expect(await notes()).not.toContain('asked again')
    })
  })
})
