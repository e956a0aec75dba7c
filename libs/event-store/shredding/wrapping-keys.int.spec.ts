import { createSecretKey, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { inTransaction } from '@mcpctl/postgres'
import { v7 as uuidv7 } from 'uuid'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { keyEncryptionKeyId, SubjectKeys, WrappingKeys } from '../index'
import { eventually } from '../testing/eventually'

const newKey = () => createSecretKey(randomBytes(32))

describe('The list of key-encryption keys', () => {
  let database: TestDatabase
  let list: WrappingKeys
  const [first, second] = [newKey(), newKey()]
  const ids = async () => (await list.list()).map(({ id }) => id)
  const announce = (key = newKey()) => list.change((change) => change.announce(key))
  const retire = () => list.change((change) => change.retire())
  const sealing = (key: ReturnType<typeof newKey>) => new SubjectKeys({ pool: database.pool, keyEncryptionKey: key })

  beforeEach(async () => {
    database = await testDatabase()
    list = new WrappingKeys(database.pool)
    await announce(first)
    await announce(second)
  })
  afterEach(() => database.close())

  it('tells who holds a key, and nothing of the key', async () => {
    const [older, current] = await list.list()
    expect(older?.isHeldBy(first)).toBe(true)
    expect(older?.isHeldBy(second)).toBe(false)
    expect(current?.isHeldBy(second)).toBe(true)
    const { rows } = await database.pool.query<{ line: string }>('select k::text as line from es.key_encryption_key k')
    for (const key of [first, second])
      for (const form of ['hex', 'base64'] as const)
        expect(rows.map(({ line }) => line).join()).not.toContain(key.export().toString(form))
  })

  it('does not hold a canary that was moved to another key', async () => {
    const owner = await database.connect()
    await owner.query('alter table es.key_encryption_key disable trigger all')
    await owner.query(
      `update es.key_encryption_key set canary = (select canary from es.key_encryption_key where ordinal = 1)`,
    )
    const [older, current] = await list.list()
    expect([older?.isHeldBy(first), current?.isHeldBy(second)]).toEqual([true, false])
  })

  it('lets go of a key that wraps nothing, for ever; of the current one never', async () => {
    expect(await retire()).toEqual([keyEncryptionKeyId(first)])
    expect(await retire()).toEqual([])
    expect(await ids()).toEqual([keyEncryptionKeyId(second)])
    await expect(announce(first)).rejects.toThrow()
  })

  it('keeps a key for who is about to wrap with it', async () => {
    const subject = await sealing(first).begin(uuidv7())
    const slow = await database.pool.connect()
    await slow.query('begin')
    await subject.store(slow)
    const retired = retire()
    const watcher = await database.connect()
    await eventually(async () => {
      const text = `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
      return (await watcher.query(text)).rowCount === 1
    })
    await slow.query('commit')
    slow.release()
    expect(await retired).toEqual([])
    expect(await ids()).toHaveLength(2)
  })

  it('refuses what somebody slow would still wrap with a key that is gone', async () => {
    const subject = await sealing(first).begin(uuidv7())
    const kept = await sealing(second).begin(uuidv7())
    await inTransaction(database.pool, (transaction) => kept.store(transaction))
    await retire()
    const stored = inTransaction(database.pool, (transaction) => subject.store(transaction))
    await expect(stored).rejects.toMatchObject({ name: 'Overtaken', message: expect.stringContaining('retired') })
    // Nor does wrapping anew lead back to it.
    await expect(sealing(first).rewrap({ limit: 1 })).resolves.toMatchObject({ count: 0 })
    const back = new SubjectKeys({ pool: database.pool, keyEncryptionKey: first, olderKeys: [second] })
    await expect(back.rewrap({ limit: 1 })).rejects.toMatchObject({ code: 'Conflict' })
    expect(await list.uses()).toEqual(new Map([[keyEncryptionKeyId(second), 1]]))
  })

  it('changes for one at a time', async () => {
    const seen: number[] = []
    await Promise.all(
      Array.from({ length: 8 }, () =>
        list.change(async (change) => {
          seen.push((await change.list()).length)
          await change.announce(newKey())
        }),
      ),
    )
    expect(seen).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('stays as it was when the change is taken back', async () => {
    const broken = list.change(async (change) => {
      await change.announce(newKey())
      await change.retire()
      throw new Error('changed my mind')
    })
    await expect(broken).rejects.toThrow('changed my mind')
    expect(await ids()).toEqual([first, second].map(keyEncryptionKeyId))
  })

  const denied = '42501'
  it.each([
    ['delete from es.key_encryption_key', denied],
    ['truncate es.key_encryption_key', denied],
    [`update es.key_encryption_key set canary = ''`, denied],
    [`update es.key_encryption_key set kek_id = 'x'`, denied],
    [`update es.key_encryption_key set ordinal = default`, denied],
    [`insert into es.key_encryption_key (kek_id, canary, created_at) values ('x', '', now())`, denied],
    ['alter table es.key_encryption_key disable trigger all', denied],
    ['drop trigger kek_is_in_use on es.subject_key', denied],
    ['update es.key_encryption_key set retired_at = null', '23001'],
    ['update es.key_encryption_key set retired_at = now() where retired_at is not null', '23001'],
  ])('C75 is protected from the application: %s', async (statement, code) => {
    await retire()
    const before = (await database.pool.query('select * from es.key_encryption_key order by 1')).rows as unknown[]
    await expect(database.pool.query(statement)).rejects.toMatchObject({ code })
    expect((await database.pool.query('select * from es.key_encryption_key order by 1')).rows).toEqual(before)
  })
})
