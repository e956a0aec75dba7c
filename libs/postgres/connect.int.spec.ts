import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createClient, createPool } from '@mcpctl/postgres'
import { testDatabase, type TestDatabase } from '../../test/support/database'

let database: TestDatabase

beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const terminate = async (applicationName: string) => {
  const owner = await database.connect()
  const { rowCount } = await owner.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and datname = current_database()',
    [applicationName],
  )
  return rowCount
}

describe('a pool', () => {
  it('hands out connections that have taken on the role, new ones too', async () => {
    const pool = createPool(database.url, { applicationName: 'roles', role: 'mcpd_app', max: 4 })
    const clients = await Promise.all([1, 2, 3, 4].map(() => pool.connect()))
    for (const client of clients) {
      const { rows } = await client.query(
        "select current_user::text as role, current_setting('statement_timeout') as t",
      )
      expect(rows).toEqual([{ role: 'mcpd_app', t: '30s' }])
      client.release(true)
    }
    expect((await pool.query('select current_user::text as role')).rows).toEqual([{ role: 'mcpd_app' }])
    await pool.end()
  })

  it('refuses to hand out a connection that cannot take on the role', async () => {
    const pool = createPool(database.url, { applicationName: 'roles', role: 'no such role', max: 1 })
    await expect(pool.query('select 1')).rejects.toThrow(/role "no such role" does not exist/)
    await expect(pool.query('select 1')).rejects.toThrow(/role "no such role" does not exist/)
    await pool.end()
  })

  it('survives that its connections are cut, idle or checked out', async () => {
    let report: (error: Error) => void = () => undefined
    const heard = new Promise<Error>((resolve) => (report = resolve))
    const pool = createPool(database.url, { applicationName: 'cut', max: 2, onError: (error) => report(error) })
    const busy = await pool.connect()
    const sleeping = busy.query('select pg_sleep(60)').catch((error: unknown) => error)
    const idle = await pool.connect()
    idle.release()
    expect(await terminate('cut')).toBe(2)
    expect(await sleeping).toBeInstanceOf(Error)
    busy.release(true)
    expect(await heard).toBeInstanceOf(Error)
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    await pool.end()
  })

  it('cancels a statement that exceeds its time', async () => {
    const pool = createPool(database.url, { applicationName: 'slow', max: 1, statementTimeout: 50 })
    await expect(pool.query('select pg_sleep(60)')).rejects.toThrow(/statement timeout/)
    await pool.end()
  })
})

describe('a client', () => {
  it('reports that its connection broke', async () => {
    let report: (error: Error) => void = () => undefined
    const broken = new Promise<Error>((resolve) => (report = resolve))
    await createClient(database.url, { applicationName: 'lonely', onError: (error) => report(error) })
    expect(await terminate('lonely')).toBe(1)
    expect(await broken).toBeInstanceOf(Error)
  })

  it('throws when nobody answers', async () => {
    const nowhere = new URL(database.url)
    nowhere.port = '1'
    await expect(createClient(nowhere.href, { applicationName: 'lost' })).rejects.toThrow(/ECONNREFUSED/)
  })
})
