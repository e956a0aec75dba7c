-- Moving a log to another store, checking it, and sealing its head.

create or replace function es.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception '%.% is append-only', tg_table_schema, tg_table_name using errcode = 'insufficient_privilege';
end $$;

-- Signed heads of the log. A seal names the one before it, so none can be taken out from between.
create table es.seal (
  position bigint primary key check (position > 0),
  epoch integer not null,
  hash bytea not null,
  sealed_at timestamptz not null,
  -- sha256 of the seal before it; null for the first one of this store.
  previous bytea,
  key_id text collate "C" not null,
  signature bytea not null
);

create trigger seal_is_immutable before update or delete or truncate on es.seal
for each statement execute function es.refuse_change();

-- False when another seal was added since the caller looked.
create function es.add_seal(seal jsonb, after bigint) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
begin
  lock table es.seal in share row exclusive mode;
  if coalesce((select max(position) from es.seal), 0) <> after then
    return false;
  end if;
  if not exists (select from es.store where epoch = (seal ->> 'epoch')::integer)
    or not exists (
      select from es.event
      where position = (seal ->> 'position')::bigint and hash = decode(seal ->> 'hash', 'hex') and position > after)
  then
    raise exception 'the seal is not one of this log' using errcode = 'invalid_parameter_value';
  end if;
  insert into es.seal values ((seal ->> 'position')::bigint, (seal ->> 'epoch')::integer, decode(seal ->> 'hash', 'hex'),
    (seal ->> 'sealedAt')::timestamptz, decode(seal ->> 'previous', 'hex'), seal ->> 'keyId',
    decode(seal ->> 'signature', 'base64'));
  return true;
end $$;

-- One row per time that a key was taken, until it is taken by another stream. A release counts when it comes from the holder.
create view es.claim_turn as
with change as (
  select e.position, c.nth, e.stream_id, c.value ->> 'op' = 'release' as is_release,
    c.value ->> 'scope' collate "C" as scope, c.value ->> 'key' collate "C" as key
  from es.event e, jsonb_array_elements(e.claims) with ordinality c (value, nth)
), numbered as (
  select *, count(*) filter (where not is_release) over (partition by scope, key order by position, nth) as turn
  from change
), held as (
  select *, first_value(stream_id) over (partition by scope, key, turn order by position, nth) as holder
  from numbered where turn > 0
), turns as (
  select scope, key, turn, min(position) as position, min(holder) as stream_id,
    bool_or(is_release and stream_id = holder) as released
  from held group by scope, key, turn
)
select scope, key, position, stream_id, released,
  lead(position) over following is null as is_last,
  -- Null for the first; true where the key was free or the stream's own already.
  lag(released or stream_id = next_stream) over following as was_free
from (select *, lead(stream_id) over (partition by scope, key order by turn) as next_stream from turns) t
window following as (partition by scope, key order by turn);

-- The first event from `first` to `last` whose version does not follow from the stream's version before it.
create function es.version_fault(first bigint, last bigint, out "position" bigint, out stream_id text, out version bigint,
  out expected bigint)
language sql stable as $$
  select v.position, v.stream_id, v.version, v.expected
  from (
    select n.position, n.stream_id, n.version,
      1 + coalesce(n.before, case when $1 > 1 then
        (select max(o.version) from es.event o where o.stream_id = n.stream_id and o.position < $1) end, 0) as expected
    from (
      select e.position, e.stream_id, e.version, lag(e.version) over (partition by e.stream_id order by e.position) as before
      from es.event e where e.position between $1 and $2) n) v
  where v.version <> v.expected
  order by v.position limit 1
$$;

-- The staging table of an import. It is made here and not by the caller, because what reads it does so with the rights of the
-- log's owner: a table of the caller's making could bring rules, policies and functions along. It belongs to the session, so
-- nothing is left of it, whatever ends the import.
create function es.begin_import() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform es.require_pristine();
  create temporary table es_import (line jsonb not null) on commit drop;
  grant insert on pg_temp.es_import to mcpd_app;
end $$;

create function es.require_pristine() returns void
language plpgsql as $$
declare
  found_in text;
begin
  -- A processor that has seen nothing yet is no obstacle: it begins with the first event, as it should.
  select t into found_in
  from (values
    ('es.event', exists (select from es.event)), ('es.claim', exists (select from es.claim)),
    ('es.command', exists (select from es.command)), ('es.seal', exists (select from es.seal)),
    ('es.parked', exists (select from es.parked)),
    -- Wrapped for this store, whose id the import replaces: keys come after their events. What is forgotten may stay.
    ('es.subject_key', exists (select from es.subject_key where key_id is not null)),
    ('es.checkpoint', exists (select from es.checkpoint where position > 0))) as v (t, filled)
  where filled limit 1;
  if found then
    raise exception 'the store is not empty: % has rows', found_in using errcode = 'ES002';
  end if;
end $$;

create function es.refuse_import("position" bigint, field text, message text) returns void
language plpgsql as $$
begin
  raise exception '%', message using errcode = 'ES001', detail = "position"::text, column = field;
end $$;

create function es.insert_imported() returns void
language plpgsql as $$
declare
  fault record;
begin
  insert into es.event
  select e.position, e.category, e."streamId", e.version, e.id, e.type, e."schemaVersion", e.data, e.meta,
    nullif(e.claims, '[]'), e."recordedAt", decode(e."contentHash", 'hex'), decode(e.hash, 'hex')
  from pg_temp.es_import, jsonb_to_record(line) as e (position bigint, version bigint, "recordedAt" timestamptz, category text,
    "streamId" text, id uuid, type text, "schemaVersion" integer, claims jsonb, data jsonb, meta jsonb, "contentHash" text,
    hash text);
exception when unique_violation then
  select * into fault from (
    select line -> 'position' as position, 'position' as field, row_number() over (partition by line -> 'position') as nth
      from pg_temp.es_import
    union all
    select line -> 'position', 'id', row_number() over (partition by line -> 'id' order by line -> 'position')
      from pg_temp.es_import
    union all
    select line -> 'position', 'version', 1 + abs((line ->> 'version')::bigint
        - row_number() over (partition by line -> 'streamId' order by line -> 'position'))
      from pg_temp.es_import) f
  where nth > 1 order by position limit 1;
  perform es.refuse_import((fault.position #>> '{}')::bigint, fault.field, format('the same %s comes again', fault.field));
end $$;

-- Checks what was inserted: what no caller may be trusted with. Content hashes are the application's, here as in appends.
create function es.check_imported(origin uuid, head bigint, head_hash bytea) returns void
language plpgsql as $$
declare
  genesis bytea := sha256(convert_to(origin::text, 'UTF8'));
  fault record;
begin
  select e.position,
      case when e.position is distinct from e.before + 1 then 'position'
        when e.recorded_at < e.time_before then 'recordedAt'
        else 'hash' end as field into fault
  from (
    select position, version, recorded_at, content_hash, hash, lag(position, 1, 0::bigint) over log as before,
      lag(recorded_at) over log as time_before, lag(hash, 1, genesis) over log as hash_before
    from es.event window log as (order by position)) e
  where e.position is distinct from e.before + 1 or e.recorded_at < e.time_before or length(e.content_hash) <> 32
    or e.hash is distinct from es.chain(e.hash_before, e.content_hash, e.position, e.version, e.recorded_at)
  order by e.position limit 1;
  if found then
    perform es.refuse_import(fault.position, fault.field, 'does not follow from the event before it');
  end if;
  if es.head() <> head or head_hash is distinct from coalesce((select hash from es.event where position = head), genesis) then
    perform es.refuse_import(head, 'hash', 'the log does not end as the header says');
  end if;
  select * into fault from es.version_fault(1, head);
  if fault.position is not null then
    perform es.refuse_import(fault.position, 'version',
      format('is %s, but the next of its stream is %s', fault.version, fault.expected));
  end if;
  select position into fault from es.claim_turn where not was_free order by position limit 1;
  if found then
    perform es.refuse_import(fault.position, 'claims', 'takes a key that another stream holds');
  end if;
end $$;

-- Makes the staged lines the log of this store, or raises and leaves it as empty as it was. `origin`, `former_epoch` and the
-- head are what the export's header says.
create function es.finish_import(origin uuid, former_epoch integer, head bigint, head_hash bytea) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
set work_mem = '64MB'
set jit = off
as $$
begin
  perform es.lock_log();
  perform es.require_pristine();
  if not exists (
    select from pg_class
    where oid = to_regclass('pg_temp.es_import') and relkind = 'r' and relowner = (select oid from pg_roles where rolname = current_user))
  then
    raise exception 'no import was begun in this transaction' using errcode = 'object_not_in_prerequisite_state';
  end if;
  perform es.insert_imported();
  perform es.check_imported(origin, head, head_hash);
  insert into es.claim select scope, key, stream_id from es.claim_turn where is_last and not released;
  update es.store set id = gen_random_uuid(), origin_id = origin, epoch = former_epoch + 1, live_from = head;
  perform pg_notify('es_event', head::text);
end $$;

revoke all on all functions in schema es from public;
grant select on es.seal, es.claim_turn to mcpd_app;
grant execute on function es.add_seal(jsonb, bigint), es.version_fault(bigint, bigint), es.begin_import(),
  es.finish_import(uuid, integer, bigint, bytea) to mcpd_app;
