import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Client } from 'pg'
import { testDatabase, type TestDatabase } from '../../test/support/database'
import { Follower } from './follow/follower'
import { Projector } from './follow/projector'
import { event, events, take, to } from './testing/event-fixtures'
import { eventually } from './testing/eventually'
import { PostgresEventLog } from './postgres-event-log'

const columnNames = [
  ...['streams', 'categories', 'expectations', 'ids', 'types', 'schema_versions', 'datas', 'metas', 'content_hashes'],
  ...['scopes', 'keys', 'commands', 'command_hashes', 'results'],
]
const columnsOf = (): Record<string, string> => ({
  ...{ streams: 'raw', categories: 'test', expectations: 'any', ids: event().id, types: 'T', schema_versions: '1' },
  ...{ datas: '{}', metas: '{}', content_hashes: `\\x${'00'.repeat(32)}` },
})
const denied = '42501'

describe('The log is protected', () => {
  let database: TestDatabase
  let owner: Client
  let log: PostgresEventLog

  beforeAll(async () => {
    database = await testDatabase()
    owner = await database.connect()
    log = new PostgresEventLog({ pool: database.pool })
    await log.append(to('kept', 'none', event({ claims: [take('kept')] })))
  })
  afterAll(() => database.close())

  const asApplication = () => database.connect({ role: 'mcpd_app' })
  const everything = async () => {
    const rows: unknown[] = []
    for (const table of ['event', 'claim', 'command', 'fence', 'store'])
      rows.push((await owner.query(`select * from es.${table} order by 1`)).rows)
    return rows
  }
  /** Refused for want of a right, in a transaction of its own, and nothing has changed. */
  const expectDenied = async (statement: string) => {
    const before = await everything()
    const client = await asApplication()
    try {
      await client.query('begin')
      await expect(client.query(statement)).rejects.toMatchObject({ code: denied })
    } finally {
      await client.end()
    }
    expect(await everything()).toEqual(before)
  }

  const row = `(99, 'c', 's', 1, gen_random_uuid(), 't', 1, '{}', '{}', null, now(), '', '')`
  it.each([
    `insert into es.event values ${row}`,
    'insert into es.event select * from es.event',
    `insert into es.event values ${row} on conflict do nothing`,
    `update es.event set data = '{}'`,
    'update es.event set position = position where false',
    'delete from es.event',
    'truncate es.event',
    'truncate es.event, es.claim cascade',
    `merge into es.event e using es.store on false when not matched then insert values ${row}`,
    `with gone as (delete from es.event returning 1) select * from gone`,
    'copy es.event from stdin',
    `copy es.event from '/etc/hostname'`,
    `copy es.event to '/tmp/stolen'`,
    `copy es.event to program 'cat'`,
    'lock table es.event in access exclusive mode',
    'select * from es.event for update',
    `insert into es.claim values ('name', 'x', 'y')`,
    `update es.claim set stream_id = 'mine'`,
    'delete from es.claim',
    'truncate es.claim',
    `insert into es.command values (gen_random_uuid(), '', 1, 1, '{}')`,
    `update es.command set result = '{}'`,
    'delete from es.command',
    `insert into es.fence values ('leader', 1, 'me')`,
    'update es.fence set term = 0',
    'delete from es.fence',
    'update es.store set epoch = 2',
    'delete from es.store',
    'truncate es.checkpoint',
  ])('C75 its rows, from the application: %s', expectDenied)

  it.each([
    'alter table es.event disable trigger all',
    'alter table es.event disable trigger event_is_immutable',
    'alter table es.event add column mine int',
    'alter table es.event drop constraint event_pkey',
    'alter table es.event owner to mcpd_app',
    'alter table es.event set schema rm',
    'drop trigger event_is_immutable on es.event',
    'create trigger mine before insert on es.event for each row execute function es.refuse_change()',
    'create rule mine as on update to es.event do instead nothing',
    'create policy mine on es.event using (true)',
    'create index mine on es.event (type)',
    'drop index es.event_by_type',
    'drop table es.event',
    'drop schema es cascade',
    'create table es.mine (a int)',
    'create view es.mine as select 1',
    'create type es.mine as (a int)',
    'create function es.mine() returns int language sql as $$ select 1 $$',
    'create or replace function es.meets(expected jsonb, actual bigint) returns boolean language sql as $$ select true $$',
    'alter function es.append_many(jsonb) security invoker',
    'alter function es.append_many(jsonb) reset search_path',
    `alter function es.append_many(jsonb) set lock_timeout = '0'`,
    'drop function es.append_many(jsonb)',
    'drop function es.append_columns',
    'set session_replication_role = replica',
    'set local session_replication_role = replica',
    `select set_config('session_replication_role', 'replica', true)`,
    'alter role mcpd_app superuser',
    'create role mine login',
    'create extension file_fdw',
    'create event trigger mine on ddl_command_start execute function es.refuse_change()',
    'create publication mine for table es.event',
  ])('C75 its tables, functions and rules, from the application: %s', expectDenied)

  // PostgreSQL answers with a warning and gives nothing.
  it.each([
    'grant all on es.event to public',
    'grant insert, update, delete, truncate, trigger on es.event to mcpd_app',
    'grant create on schema es to mcpd_app',
    'grant execute on function es.append_one(jsonb) to mcpd_app',
  ])('C75 nor does the application get a right that it gives itself: %s', async (statement) => {
    const rights = async () => {
      const text = `select relname::text as name, relacl::text as acl from pg_class where relnamespace = 'es'::regnamespace
        union all select nspname, nspacl::text from pg_namespace where nspname = 'es'
        union all select oid::regprocedure::text, proacl::text from pg_proc where pronamespace = 'es'::regnamespace
        order by name`
      return (await owner.query(text)).rows as unknown[]
    }
    const before = await rights()
    const client = await asApplication()
    await client.query(statement).catch(() => undefined)
    await client.end()
    expect(await rights()).toEqual(before)
  })

  it('C75 nor may it change the settings of the server', async () => {
    const client = await asApplication()
    await expect(client.query('alter system set fsync = off')).rejects.toMatchObject({ code: denied })
    await client.end()
  })

  it('C75 of its functions the application may call those that are its doors, and no other', async () => {
    const { rows } = await owner.query<{ call: string; open: boolean; definer: boolean }>(
      `select p.oid::regprocedure::text as call, has_function_privilege('mcpd_app', p.oid, 'execute') as open,
         p.prosecdef as definer
       from pg_proc p where pronamespace = 'es'::regnamespace order by 1`,
    )
    const open = rows.filter((one) => one.open).map(({ call }) => call)
    expect(open).toEqual([
      'es.add_seal(jsonb,bigint)',
      'es.append_alone(text,text,text,uuid,text,integer,jsonb,jsonb,bytea,text,text,uuid,text,jsonb)',
      'es.append_columns(text,text,text,text,text,text,text,text,text,text,text,text,text,text)',
      'es.append_many(jsonb)',
      'es.batch_end(bigint,integer,bigint)',
      'es.begin_import()',
      'es.finish_import(uuid,integer,bigint,bytea)',
      'es.next_term(text,text)',
      'es.version_fault(bigint,bigint)',
    ])
    // Whatever is a definer's is a door, and whatever is no door runs with the caller's own rights.
    expect(rows.filter(({ definer, open }) => definer && !open)).toEqual([])
  })

  it('C75 of its tables the application may change those that are no part of the log, and no other', async () => {
    const { rows } = await owner.query<{ name: string; may: string }>(
      `select c.relname as name, string_agg(lower(p), ' ' order by p) as may
       from pg_class c, unnest(array['DELETE', 'INSERT', 'REFERENCES', 'TRIGGER', 'TRUNCATE', 'UPDATE']) p
       where relnamespace = 'es'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
         and (has_table_privilege('mcpd_app', c.oid, p)
           or p in ('INSERT', 'UPDATE', 'REFERENCES') and has_any_column_privilege('mcpd_app', c.oid, p))
       group by 1 order by 1`,
    )
    expect(rows.map(({ name, may }) => `${name}: ${may}`)).toEqual([
      'checkpoint: delete insert update',
      // The rows themselves may only be retired.
      'key_encryption_key: insert update',
      'outbox: delete insert update',
      'parked: delete insert update',
      'snapshot: delete insert update',
      // The rows themselves may only be destroyed.
      'subject_key: insert update',
    ])
  })

  it('C75 another role of the same server sees and calls nothing of it', async () => {
    const name = `stranger_${process.pid}`
    await owner.query(`create role ${name}`)
    try {
      await owner.query(`set session authorization ${name}`)
      for (const asked of ['table es.event', 'table es.store', 'table es.subject_key', `select es.append_many('[]')`])
        await expect(owner.query(asked)).rejects.toMatchObject({ code: denied })
      await expect(owner.query('set role mcpd_app')).rejects.toMatchObject({ code: denied })
    } finally {
      await owner.query('reset session authorization')
      await owner.query(`drop role ${name}`)
    }
  })

  it.each([
    `select es.append_one('{"streams":[]}')`,
    `select es.store_events('{"streams":[]}')`,
    `select es.claim_verdict('{"streams":[]}')`,
    `select es.store_command('{}', '{}')`,
    'select es.lock_log()',
    'select es.chain_end()',
  ])('C75 an inner function, from the application: %s', expectDenied)

  it.each([
    `update es.event set data = '{}'`,
    'delete from es.event',
    'truncate es.event',
    'truncate es.event cascade',
  ])('C75 from its owner by mistake: %s', async (statement) => {
    await expect(owner.query(statement)).rejects.toMatchObject({ code: denied })
  })

  it('C75 what the application may do to checkpoints does not reach the log', async () => {
    const before = await everything()
    const client = await asApplication()
    await client.query('begin; delete from es.checkpoint; delete from es.parked; rollback')
    await client.end()
    expect(await everything()).toEqual(before)
  })

  it('the application may keep read models of its own', async () => {
    await database.pool.query('create table rm.mine (a int); drop table rm.mine')
  })

  describe('against names in the place of its own', () => {
    it('its doors look for names where the caller cannot put any', async () => {
      const { rows } = await owner.query<{ call: string; path: string | null }>(
        `select oid::regprocedure::text as call, (select o from unnest(proconfig) o where o like 'search_path=%') as path
         from pg_proc where pronamespace = 'es'::regnamespace and prosecdef`,
      )
      expect(rows.length).toBeGreaterThanOrEqual(2)
      // Temporary objects come last only where they are named.
      for (const { call, path } of rows) expect([call, path]).toEqual([call, 'search_path=pg_catalog, pg_temp'])
    })

    const expectUntouched = async (shadows: string) => {
      const client = await asApplication()
      const stream = `shadowed-${shadows.length}`
      await client.query(shadows)
      await client.query('begin')
      const verdict = await log.appendWithin(
        client,
        to(stream, 'none', ...events(2), event({ claims: [take(stream)] })),
      )
      await client.query('commit')
      expect(verdict).toMatchObject({ status: 'ok', versions: { [stream]: 3 } })
      expect(await log.readStream(stream)).toHaveLength(3)
      expect(await log.claimOwner('name', stream)).toBe(stream)
      await client.query('begin')
      expect(await log.appendWithin(client, to(stream, 'none', event()))).toMatchObject({
        status: 'conflict',
        actual: 3,
      })
      await client.query('rollback')
      const { rows } = await client.query<{ called: boolean }>(
        `select to_regclass('rm.called') is not null and exists (select from rm.called) as called`,
      )
      expect(rows).toEqual([{ called: false }])
      return client
    }
    beforeAll(async () => {
      await database.pool.query('create table rm.called (by text)')
    })

    it('tables in pg_temp', async () => {
      const client = await expectUntouched(`
        create temp table event (like es.event); create temp table claim (like es.claim);
        create temp table command (like es.command); create temp table store (like es.store);
        set search_path = pg_temp, es, public`)
      expect((await client.query('select from pg_temp.event')).rowCount).toBe(0)
      expect((await client.query('select from pg_temp.claim')).rowCount).toBe(0)
    })

    it('functions and operators in a schema of its own, searched before all others', async () => {
      await expectUntouched(`
        create function rm.sha256(bytea) returns bytea language plpgsql as
          $$ begin insert into rm.called values ('sha256'); return ''::bytea; end $$;
        create function rm.clock_timestamp() returns timestamptz language plpgsql as
          $$ begin insert into rm.called values ('clock'); return '1999-01-01'; end $$;
        create function rm.jsonb_array_elements(jsonb) returns setof jsonb language plpgsql as
          $$ begin insert into rm.called values ('elements'); return; end $$;
        create function rm.pg_advisory_xact_lock(bigint) returns void language plpgsql as
          $$ begin insert into rm.called values ('lock'); end $$;
        create function rm.same(a text, b text) returns boolean language plpgsql as
          $$ begin insert into rm.called values ('='); return true; end $$;
        create operator rm.= (leftarg = text, rightarg = text, function = rm.same);
        create function rm.at(a jsonb, b text) returns text language plpgsql as
          $$ begin insert into rm.called values ('->>'); return ''; end $$;
        create operator rm.->> (leftarg = jsonb, rightarg = text, function = rm.at);
        set search_path = rm, pg_catalog, es`)
    })

    it('types and casts in pg_temp', async () => {
      await expectUntouched(`
        create domain pg_temp.bigint as integer; create domain pg_temp.jsonb as text; create domain pg_temp.uuid as text;
        create type pg_temp.event as (position integer); set search_path = pg_temp, pg_catalog`)
    })

    it('settings that change what statements mean', async () => {
      await expectUntouched(`
        set standard_conforming_strings = off; set backslash_quote = on; set transform_null_equals = on;
        set check_function_bodies = off; set row_security = off; set default_transaction_deferrable = on;
        set array_nulls = off; set bytea_output = escape; set extra_float_digits = -15; set timezone = 'Asia/Kathmandu';
        set plan_cache_mode = force_custom_plan; set lock_timeout = 0; set client_encoding = 'UTF8';
        set statement_timeout = 0; set quote_all_identifiers = on; set xmloption = document`)
    })
  })

  describe('against what anybody may send', () => {
    it('a forged notification moves nobody: who hears it reads the log', async () => {
      await database.pool.query('create table rm.heard (position bigint)')
      const follower = new Follower({ pool: database.pool })
      await follower.start()
      const projector = new Projector({
        pool: database.pool,
        follower,
        name: 'heard',
        project: async (tx, batch) => {
          await tx.query('insert into rm.heard select unnest($1::bigint[])', [batch.map(({ position }) => position)])
        },
      })
      projector.start()
      let woken = 0
      follower.onAdvance(() => woken++)
      const forger = await asApplication()
      const payloads = ['999999', '-1', '', 'x', '1 1', '9'.repeat(400), '5 1 someone', "'; drop table es.event; --"]
      for (const payload of payloads)
        for (const channel of ['es_event', 'es_checkpoint'])
          await forger.query('select pg_notify($1, $2)', [channel, payload])
      await eventually(() => woken > 0)
      await log.append(to('after-forgery', 'none', event()))
      const head = await log.head()
      expect(await projector.waitFor(head, 30_000)).toBe(true)
      const { rows } = await owner.query<{ position: string }>('select position from rm.heard order by position')
      expect(rows.map(({ position }) => BigInt(position))).toEqual(
        (await log.read(0n, 1_000)).map(({ position }) => position),
      )
      await projector.stop()
      await follower.stop()
    })

    it.each([
      'null',
      '{}',
      '[]',
      '[null]',
      '[1]',
      '[{}]',
      '[{"streams":null}]',
      '[{"streams":{}}]',
      '[{"streams":[null]}]',
      '[{"streams":[{}]}]',
      '[{"streams":[{"streamId":"x","category":"c","expected":"any","events":[{}]}]}]',
      '[{"streams":[{"streamId":"x","category":"c","expected":"any","events":[null]}]}]',
      '[{"streams":[{"streamId":null,"category":"c","expected":"any","events":[]}]}]',
      '[{"streams":[{"streamId":"x","category":"c","expected":null,"events":[]}]}]',
      '[{"streams":[{"streamId":"x","category":"c","expected":"-9223372036854775809","events":[]}]}]',
      '[{"streams":[],"command":{}}]',
      '[{"streams":[],"command":{"id":"x"}}]',
      '[{"streams":[],"fence":{}}]',
      '[{"streams":[],"condition":{}}]',
      '[[[[]]]]',
    ])('a request that no library has made stores nothing: %s', async (request) => {
      const before = await everything()
      const client = await asApplication()
      await client.query('select es.append_many($1)', [request]).catch(() => undefined)
      await client.end()
      expect(await everything()).toEqual(before)
      expect(await log.append(to('still', 'any'))).toMatchObject({ status: 'ok' })
    })

    it.each([
      ['no line at all', {}],
      ['a line too few', { streams: 'a\nb' }],
      ['a line too many', { types: 'T\nT' }],
      ['no stream', { streams: null }],
      ['an empty stream', { streams: '' }],
      ['an id that is none', { ids: 'x' }],
      ['no JSON', { datas: '{' }],
      ['an expectation that is none', { expectations: 'some' }],
      ['no hash', { content_hashes: null }],
      ['a claim without a key', { scopes: 'name' }],
      ['a command without a hash', { commands: event().id }],
    ])('columns that no library has made store nothing: %s', async (_, columns: Record<string, string | null>) => {
      const one = Object.keys(columns).length === 0 ? {} : columnsOf()
      const before = await everything()
      const client = await asApplication()
      const given = Object.entries({ ...one, ...columns })
      const all = columnNames.map((name) => given.find(([key]) => key === name)?.[1] ?? null)
      const values = all.map((_, n) => `$${String(n + 1)}`).join(', ')
      await client.query(`select es.append_columns(${values})`, all).catch(() => undefined)
      await client.end()
      expect(await everything()).toEqual(before)
      expect(await log.append(to('still', 'any'))).toMatchObject({ status: 'ok' })
    })
  })
})
