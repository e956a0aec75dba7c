import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { Client } from 'pg'
import { runMigrations } from '@mcpctl/postgres'
import { testDatabase, type TestDatabase } from '../../test/support/database'

let database: TestDatabase
let owner: Client
let directory: string

beforeAll(async () => {
  database = await testDatabase()
  owner = await database.connect()
})
afterAll(() => database.close())

beforeEach(async () => {
  // The clone comes migrated; these cases start from a database that no migration has seen.
  await owner.query('drop schema mcpctl cascade; drop schema if exists shop cascade; create schema shop')
  directory = await mkdtemp(join(tmpdir(), 'mcpctl-migrations-'))
  await file('0001_fruit.sql', 'create table shop.fruit (name text)')
})
afterEach(() => rm(directory, { recursive: true }))

const file = (name: string, sql: string) => writeFile(join(directory, name), sql)
const tables = async () => {
  const { rows } = await owner.query<{ name: string }>(
    "select tablename::text as name from pg_tables where schemaname = 'shop' order by 1",
  )
  return rows.map(({ name }) => name)
}

describe('migrations', () => {
  it('are applied in order, each once', async () => {
    await file('0002_apple.sql', "insert into shop.fruit values ('apple'); create table shop.price ()")
    expect(await runMigrations(database.url, directory)).toEqual(['0001_fruit.sql', '0002_apple.sql'])
    expect(await runMigrations(database.url, directory)).toEqual([])
    await file('0003_pear.sql', "insert into shop.fruit values ('pear')")
    expect(await runMigrations(database.url, directory)).toEqual(['0003_pear.sql'])
    const { rows } = await owner.query('select name from shop.fruit order by name')
    expect(rows).toEqual([{ name: 'apple' }, { name: 'pear' }])
  })

  it('are applied once by eight daemons that start at the same time', async () => {
    await file('0002_apple.sql', "insert into shop.fruit values ('apple'); select pg_sleep(0.1)")
    await file('0003_pear.sql', "insert into shop.fruit values ('pear')")
    const done = await Promise.all(Array.from({ length: 8 }, () => runMigrations(database.url, directory)))
    expect(done.flat().sort()).toEqual(['0001_fruit.sql', '0002_apple.sql', '0003_pear.sql'])
    const { rows } = await owner.query('select name from shop.fruit order by name')
    expect(rows).toEqual([{ name: 'apple' }, { name: 'pear' }])
  })

  it('leave no trace when they fail, and go on once mended', async () => {
    await file('0002_price.sql', 'create table shop.price (); create table shop.fruit ()')
    await expect(runMigrations(database.url, directory)).rejects.toThrow(/"fruit" already exists/)
    expect(await tables()).toEqual(['fruit'])
    await file('0002_price.sql', 'create table shop.price ()')
    expect(await runMigrations(database.url, directory)).toEqual(['0002_price.sql'])
  })

  it('refuse a database that is newer, and name both versions', async () => {
    await file('0002_price.sql', 'create table shop.price ()')
    await runMigrations(database.url, directory)
    await rm(join(directory, '0002_price.sql'))
    await expect(runMigrations(database.url, directory)).rejects.toMatchObject({
      code: 'Conflict',
      message:
        'the database is newer than this mcpd: it is at migration 0002_price.sql, this mcpd knows up to 0001_fruit.sql; ' +
        'upgrade mcpd, or restore a backup made before the upgrade',
    })
  })

  it('refuse a file that was changed after it was applied, but not its line ends', async () => {
    await file('0001_fruit.sql', 'create table shop.fruit (\n  name text\n)')
    await runMigrations(database.url, directory)
    await file('0001_fruit.sql', 'create table shop.fruit (\r\n  name text\r\n)')
    expect(await runMigrations(database.url, directory)).toEqual([])
    await file('0001_fruit.sql', 'create table shop.fruit (\n  name text not null\n)')
    await expect(runMigrations(database.url, directory)).rejects.toMatchObject({
      code: 'Conflict',
      message: expect.stringMatching(/migration 0001_fruit.sql differs from the file/),
    })
  })

  it('refuse a file with a gap before its number or without a number', async () => {
    await file('0003_late.sql', '')
    await expect(runMigrations(database.url, directory)).rejects.toThrow(
      'migration "0003_late.sql" should have the number 2',
    )
    await rm(join(directory, '0003_late.sql'))
    await file('fix.sql', '')
    await expect(runMigrations(database.url, directory)).rejects.toThrow(
      'migration "fix.sql" is not called NNNN_name.sql',
    )
  })
})
