import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { generateKeyPairSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Client } from 'pg'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { PostgresEventLog } from '../postgres-event-log'
import { event, events, take, to } from '../testing/event-fixtures'
import { exported } from '../testing/export-file'
import type { AppendRequest, NewEvent } from '../types'
import { sealLog, storedSeals, verifySeals } from './sealing'
import { verifyLog } from './verify-log'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')

describe('What protects the log', () => {
  let database: TestDatabase
  let owner: Client
  let log: PostgresEventLog

  beforeAll(async () => {
    database = await testDatabase()
    owner = await database.connect()
    log = new PostgresEventLog({ pool: database.pool })
    await log.append(to('a', 'none', ...events(4), event({ claims: [take('x')] })))
  })
  afterAll(() => database.close())

  /** What `work` finds after a superuser's change, which is taken back. */
  const after = async <T>(change: string, undo: string, work: () => Promise<T>): Promise<T> => {
    await owner.query(change)
    return work().finally(() => owner.query(undo))
  }

  const replaced = (body: string) => `create or replace function es.refuse_change() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$ begin ${body} end $$`
  const refusal = `raise exception '%.% is append-only', tg_table_schema, tg_table_name using errcode = 'insufficient_privilege';`
  const trigger = (name: string, on: string) => `create trigger ${name} before update or delete or truncate on ${on}
    for each statement execute function es.refuse_change()`

  it.each([
    [
      'its trigger is dropped',
      'drop trigger event_is_immutable on es.event',
      trigger('event_is_immutable', 'es.event'),
      'trigger event_is_immutable on es.event',
    ],
    [
      'its triggers are disabled',
      'alter table es.event disable trigger all',
      'alter table es.event enable trigger all',
      'trigger event_is_immutable on es.event',
    ],
    [
      'its trigger fires for replicas only',
      'alter table es.event enable replica trigger event_is_immutable',
      'alter table es.event enable trigger event_is_immutable',
      'trigger event_is_immutable on es.event',
    ],
    ['its trigger does nothing', replaced('return null;'), replaced(refusal), 'trigger event_is_immutable on es.event'],
    [
      'that of the seals is dropped',
      'drop trigger seal_is_immutable on es.seal',
      trigger('seal_is_immutable', 'es.seal'),
      'trigger seal_is_immutable on es.seal',
    ],
    [
      'tombstones may go',
      'alter table es.subject_key disable trigger key_is_only_destroyed',
      'alter table es.subject_key enable trigger key_is_only_destroyed',
      'trigger key_is_only_destroyed on es.subject_key',
    ],
    [
      'the application may change events',
      'grant update on es.event to mcpd_app',
      'revoke update on es.event from mcpd_app',
      'mcpd_app may update es.event',
    ],
    [
      'the application may change a column',
      'grant update (data) on es.event to mcpd_app',
      'revoke update (data) on es.event from mcpd_app',
      'mcpd_app may update es.event',
    ],
    [
      'everybody may add claims',
      'grant insert on es.claim to public',
      'revoke insert on es.claim from public',
      'mcpd_app may insert es.claim',
    ],
    [
      'rows are hidden from the application',
      'alter table es.event enable row level security',
      'alter table es.event disable row level security',
      'row level security decides which rows of es.event are seen',
    ],
    [
      'changes are redirected',
      'create rule elsewhere as on delete to es.event do instead nothing',
      'drop rule elsewhere on es.event',
      'a rule decides which rows of es.event are seen',
    ],
  ])('C76 a log whose protection was taken away does not verify: %s', async (_, change, undo, what) => {
    expect(await after(change, undo, () => verifyLog(database.pool))).toMatchObject({
      ok: false,
      problem: 'protection',
      position: 0n,
      message: expect.stringContaining(what),
    })
    expect(await verifyLog(database.pool)).toMatchObject({ ok: true, events: 5n })
  })

  it('C76 the event that was changed is named before the protection that was taken away for it', async () => {
    const found = await after(
      `alter table es.event disable trigger all; update es.event set type = 'Other' where position = 3`,
      `update es.event set type = 'Happened' where position = 3; alter table es.event enable trigger all`,
      () => verifyLog(database.pool),
    )
    expect(found).toMatchObject({ ok: false, problem: 'content', position: 3n })
  })

  it('C76 a store that has lost its row says so, to whoever needs it', async () => {
    await after(
      'create table public.store as table es.store; delete from es.store',
      'insert into es.store table public.store; drop table public.store',
      async () => {
        const asked = [() => verifyLog(database.pool), () => sealLog(database.pool, { privateKey }), () => log.store()]
        for (const ask of asked) await expect(ask()).rejects.toMatchObject({ code: 'Conflict' })
      },
    )
    expect(await verifyLog(database.pool)).toMatchObject({ ok: true })
  })

  it('C76 a log is not sealed on top of a seal that was forged under the name of the key', async () => {
    const genuine = (await sealLog(database.pool, { privateKey }))!
    await log.append(to('a', 'any', event()))
    const [last] = await log.read(5n, 1)
    const forged = { ...genuine, position: 6, hash: last!.hash, previous: '00'.repeat(32) }
    // The application's role may do so; who has no private key cannot sign.
    await database.pool.query('select es.add_seal($1, 5)', [forged])
    await log.append(to('a', 'any', event()))
    await expect(sealLog(database.pool, { privateKey })).rejects.toMatchObject({ code: 'Conflict' })
    expect(await verifySeals(database.pool, { keys: [publicKey] })).toMatchObject({ ok: false, position: 6n })
    expect(await storedSeals(database.pool)).toHaveLength(2)
  })

  it('whoever holds the lock of the log is found by the query in the README, and ended by what stands beside it', async () => {
    const readme = await readFile('libs/event-store/README.md', 'utf8')
    const query = /```sql\n([^]*?)```/.exec(readme)?.[1] ?? ''
    const stranger = await database.connect({ role: 'mcpd_app', applicationName: 'stranger' })
    const holders = async () => (await owner.query<{ pid: number; application_name: string }>(query)).rows
    expect(await holders()).toEqual([])
    await stranger.query('begin')
    await log.appendWithin(stranger, to('held', 'any', event()))
    await stranger.query('set local idle_in_transaction_session_timeout = 0')
    const held = await holders()
    expect(held).toMatchObject([{ application_name: 'stranger', state: 'idle in transaction' }])
    await owner.query('select pg_terminate_backend($1)', [held[0]!.pid])
    expect(await log.append(to('held', 'none', event()))).toMatchObject({ status: 'ok' })
    expect(await holders()).toEqual([])
  })

  describe('against requests that no TypeScript has seen', () => {
    const odd: [string, object, string][] = [
      ['data that is a number', { data: 5 }, '/data'],
      ['data that is a list', { data: [1] }, '/data'],
      ['no data', { data: null }, '/data'],
      ['meta that is a list', { meta: [] }, '/meta'],
      ['no meta', { meta: null }, '/meta'],
      ['a type that is a number', { type: 5 }, '/type'],
      ['no type', { type: null }, '/type'],
      ['claims that are no list', { claims: {} }, '/claims'],
      ['claims that are text', { claims: 'x' }, '/claims'],
      ['a claim that is none', { claims: [null] }, '/claims/0'],
      ['a claim that steals', { claims: [{ op: 'steal', scope: 'a', key: 'b' }] }, '/claims/0/op'],
      ['a claim of no key', { claims: [{ op: 'take', scope: 'a' }] }, '/claims/0/key'],
      ['a claim of a number', { claims: [{ op: 'take', scope: 1, key: 'b' }] }, '/claims/0/scope'],
      ['a claim that says more', { claims: [{ op: 'take', scope: 'a', key: 'b', x: 1 }] }, '/claims/0'],
    ]
    it.each(odd)(
      'C67 %s is refused before it is stored; it could never be verified or exported',
      async (_, part, at) => {
        const head = await log.head()
        const request = to('odd', 'any', { ...event(), ...part })
        const refused = {
          code: 'Invalid',
          details: { errors: [{ pointer: `/streams/0/events/0${at}`, code: 'type' }] },
        }
        await expect(log.append(request)).rejects.toMatchObject(refused)
        await expect(log.appendWithin(owner, request)).rejects.toMatchObject(refused)
        expect(await log.head()).toBe(head)
      },
    )

    it.each([
      ['a stream that is a number', { streamId: 5 }, '/streams/0/streamId'],
      ['a category that is a number', { category: 5 }, '/streams/0/category'],
    ])('C67 %s is refused', async (_, part, pointer) => {
      const [stream] = to('odd', 'any', event()).streams
      const request = { streams: [{ ...stream, ...part }] } as unknown as AppendRequest
      await expect(log.append(request)).rejects.toMatchObject({ code: 'Invalid', details: { errors: [{ pointer }] } })
    })

    it('C67 what remains is stored, verifies and is exported, however strange', async () => {
      const strange = JSON.parse('{"__proto__":{"a":-0},"":1e21,"constructor":5e-324}') as NewEvent['data']
      await log.append({
        streams: [
          {
            streamId: ' ',
            category: '',
            expected: 'none',
            events: [event({ type: '', schemaVersion: 0, data: strange })],
          },
        ],
      })
      expect(await verifyLog(database.pool)).toMatchObject({ ok: true })
      expect(await exported(database.pool)).toContain('"__proto__"')
    })
  })
})
