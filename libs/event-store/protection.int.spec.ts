import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Client } from 'pg'
import { testDatabase, type TestDatabase } from '../../test/support/database'
import { event, to } from './testing/event-fixtures'
import { PostgresEventLog } from './postgres-event-log'

const denied = '42501'

describe('The log is protected', () => {
  let database: TestDatabase
  let owner: Client

  beforeAll(async () => {
    database = await testDatabase()
    owner = await database.connect()
    await new PostgresEventLog({ pool: database.pool }).append(to('kept', 'none', event()))
  })
  afterAll(() => database.close())

  it.each([
    'insert into es.event select * from es.event',
    `update es.event set data = '{}'`,
    'delete from es.event',
    'truncate es.event',
    `insert into es.claim values ('name', 'x', 'y')`,
    'delete from es.claim',
    `insert into es.command values (gen_random_uuid(), '', 1, 1, '{}')`,
    'update es.fence set term = 0',
    'update es.store set epoch = 2',
    'delete from es.checkpoint',
    `select es.store_events('{"streams":[]}')`,
    `select es.append_one('{"streams":[]}')`,
    'alter table es.event disable trigger all',
    'drop trigger event_is_immutable on es.event',
    'create table es.mine (a int)',
  ])('C75 from the application: %s', async (statement) => {
    await expect(database.pool.query(statement)).rejects.toMatchObject({ code: denied })
  })

  it.each([`update es.event set data = '{}'`, 'delete from es.event', 'truncate es.event'])(
    'C75 from its owner by mistake: %s',
    async (statement) => {
      await expect(owner.query(statement)).rejects.toMatchObject({ code: denied })
    },
  )

  it('the application may keep read models of its own', async () => {
    await database.pool.query('create table rm.mine (a int); drop table rm.mine')
  })

  it('its functions do not look for names where a caller tells them to', async () => {
    const { rows } = await owner.query<{ name: string; config: string[] | null }>(
      `select proname as name, proconfig as config from pg_proc
       where pronamespace = 'es'::regnamespace and prosecdef`,
    )
    expect(rows.map(({ name }) => name).sort()).toEqual(['add_seal', 'append_many', 'begin_import', 'finish_import', 'next_term'])
    for (const { config } of rows) expect(config).toContain('search_path=pg_catalog, pg_temp')
  })

  it('tables of a caller do not take the place of the log', async () => {
    const client = await database.connect({ role: 'mcpd_app' })
    await client.query('create temp table event (like es.event)')
    await client.query('set search_path = pg_temp, es')
    const log = new PostgresEventLog({ pool: database.pool })
    await client.query('begin')
    await log.appendWithin(client, to('kept', 1, event()))
    await client.query('commit')
    expect((await client.query('select from pg_temp.event')).rowCount).toBe(0)
    expect(await log.readStream('kept')).toHaveLength(2)
  })
})
