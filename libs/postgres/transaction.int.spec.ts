import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { createPool, inTransaction, withClient } from '@mcpctl/postgres'
import type { Pool } from 'pg'
import { testDatabase, type TestDatabase } from '../../test/support/database'

const dead = (reason: string) => `connection terminated: ${reason}`

describe('A connection that is lent', () => {
  let database: TestDatabase
  let pool: Pool

  beforeAll(async () => {
    database = await testDatabase()
    await database.pool.query('create table rm.kept (id integer)')
  })
  beforeEach(() => {
    pool = createPool(database.url, { applicationName: 'lent', role: 'mcpd_app', max: 2 })
  })
  afterEach(() => pool.end())
  afterAll(() => database.close())

  const kept = async () => (await database.pool.query<{ id: number }>('select id from rm.kept order by id')).rows
  const backend = async () => (await pool.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid

  it('is given back clean, whether the work succeeds or throws', async () => {
    await inTransaction(pool, (tx) => tx.query('insert into rm.kept values (1)'))
    const thrown = inTransaction(pool, async (tx) => {
      await tx.query('insert into rm.kept values (2)')
      throw new Error('changed my mind')
    })
    await expect(thrown).rejects.toThrow('changed my mind')
    const first = await backend()
    await expect(withClient(pool, (tx) => tx.query('begin; select 1 / 0'))).rejects.toThrow('division by zero')
    expect(await backend()).toBe(first)
    expect(await kept()).toEqual([{ id: 1 }])
    expect(pool.idleCount).toBe(1)
  })

  it('tells why it broke, not that it is broken', async () => {
    const idled = withClient(pool, async (tx) => {
      await tx.query(`begin; set local idle_in_transaction_session_timeout = '20ms'`)
      await new Promise((resolve) => tx.once('end', resolve))
      await tx.query('commit')
    })
    await expect(idled).rejects.toMatchObject({ code: '25P03' })
    expect(pool.totalCount).toBe(0)
  })

  it('is thrown away after so long without an answer, with those that are idle; answers renew it', async () => {
    await Promise.all([pool.query('select pg_sleep(0.05)'), pool.query('select pg_sleep(0.05)')])
    const work = withClient(
      pool,
      async (tx) => {
        await tx.query('begin; insert into rm.kept values (3)')
        for (let i = 0; i < 6; i++) await tx.query('select pg_sleep(0.1)')
        await tx.query('select pg_sleep(60)')
      },
      { silentMs: 400 },
    )
    await expect(work).rejects.toThrow(dead('no answer within 400 ms'))
    expect(pool.totalCount).toBe(0)
    expect(await kept()).not.toContainEqual({ id: 3 })
  })

  it('is thrown away when somebody aborts, while it works and while it is waited for', async () => {
    const ending = new AbortController()
    const loan = { signal: ending.signal }
    const working = [1, 2].map(() => withClient(pool, (tx) => tx.query('select pg_sleep(60)'), loan))
    const waiting = withClient(pool, (tx) => tx.query('select 1'), loan)
    const all = Promise.allSettled([...working, waiting])
    ending.abort()
    const reason = new Error(dead('it was told to stop'))
    expect(await all).toEqual([1, 2, 3].map(() => ({ status: 'rejected', reason })))
    await expect(withClient(pool, (tx) => tx.query('select 1'), loan)).rejects.toThrow(reason)
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  })
})
