-- The event log. Everything that mcpctl knows is folded from es.event; schema rm holds the folds.
--
-- Positions are handed out under one transaction-scoped advisory lock, so commit order is position order: a reader that
-- asks for "position > n" never misses an event that commits late.

-- Roles are shared by all databases of a cluster, so several migrations may get here at the same moment.
do $$
declare
  may_become text := case when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end;
begin
  for attempt in 1 .. 20 loop
    begin
      if not exists (select from pg_roles where rolname = 'mcpd_app') then
        create role mcpd_app nologin;
      end if;
      if not pg_has_role(current_user, 'mcpd_app', may_become) then
        execute format('grant mcpd_app to %I', current_user);
      end if;
      exit;
    exception
      -- internal_error is "tuple concurrently updated".
      when duplicate_object or unique_violation or internal_error then
        if attempt = 20 then
          raise;
        end if;
        perform pg_sleep(0.05);
    end;
  end loop;
end $$;

create schema es;
create schema rm authorization mcpd_app;

-- One row. origin_id is the store in which the log began: the hash chain starts from it, also after a restore.
create table es.store (
  only_row boolean primary key default true check (only_row),
  id uuid not null,
  origin_id uuid not null,
  epoch integer not null default 1
);

with fresh as (select gen_random_uuid() as id)
insert into es.store (id, origin_id) select id, id from fresh;

create table es.event (
  position bigint primary key,
  category text collate "C" not null,
  stream_id text collate "C" not null,
  version bigint not null check (version > 0),
  event_id uuid not null unique,
  type text collate "C" not null,
  schema_version integer not null,
  data jsonb not null,
  meta jsonb not null,
  claims jsonb,
  recorded_at timestamptz not null,
  content_hash bytea not null,
  hash bytea not null,
  unique (stream_id, version)
);

-- For append conditions.
create index event_by_type on es.event (type, position);

-- Derived from the claims in the events.
create table es.claim (
  scope text collate "C" not null,
  key text collate "C" not null,
  stream_id text collate "C" not null,
  primary key (scope, key)
);

create table es.command (
  command_id uuid primary key,
  request_hash text not null,
  first_position bigint,
  last_position bigint,
  result jsonb not null
);

create table es.fence (
  name text collate "C" primary key,
  term bigint not null,
  holder text not null
);

create table es.checkpoint (
  processor text collate "C" not null,
  model_version integer not null,
  position bigint not null default 0,
  status text not null default 'running',
  attempts integer not null default 0,
  last_error text,
  primary key (processor, model_version)
);

-- Events that a processor was told to step over.
create table es.parked (
  processor text collate "C" not null,
  model_version integer not null,
  position bigint not null,
  error text not null,
  parked_at timestamptz not null default now(),
  primary key (processor, model_version, position)
);

create function es.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'es.event is append-only' using errcode = 'insufficient_privilege';
end $$;

create trigger event_is_immutable before update or delete or truncate on es.event
for each statement execute function es.refuse_change();

-- Appends and fences of all daemons pass here one after the other. Holding it while idle ends the transaction, so a
-- frozen holder lets go by itself.
create function es.lock_log() returns void
language plpgsql as $$
begin
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception 'the log is appended to under READ COMMITTED only'
      using errcode = 'invalid_transaction_state',
            hint = 'An older snapshot would hand out positions twice.';
  end if;
  perform pg_advisory_xact_lock(7236831550221746258);
  perform set_config('idle_in_transaction_session_timeout', '1s', true);
end $$;

create function es.chain(previous bytea, content bytea, "position" bigint, version bigint, recorded_at timestamptz)
returns bytea language sql stable as $$
  select sha256(previous || content || int8send("position") || int8send(version)
    || int8send((extract(epoch from recorded_at) * 1000000)::bigint))
$$;

create function es.version_of(stream text) returns bigint
language plpgsql stable as $$
begin
  return coalesce((select version from es.event where stream_id = stream order by version desc limit 1), 0);
end $$;

-- Does a stream at this version meet the expectation: "any", "none", "exists" or a number?
create function es.meets(expected jsonb, actual bigint) returns boolean
language sql immutable as $$
  select case expected #>> '{}'
    when 'any' then true
    when 'none' then actual = 0
    when 'exists' then actual > 0
    else (expected #>> '{}')::bigint = actual
  end
$$;

-- The verdicts below: null means "no objection".

create function es.command_verdict(asked jsonb) returns jsonb
language plpgsql as $$
declare
  stored es.command;
begin
  if asked is null then
    return null;
  end if;
  select * into stored from es.command where command_id = (asked ->> 'id')::uuid;
  if not found then
    return null;
  end if;
  if stored.request_hash <> asked ->> 'requestHash' then
    return jsonb_build_object('status', 'command-mismatch');
  end if;
  return jsonb_build_object('status', 'duplicate', 'first', stored.first_position::text,
    'last', stored.last_position::text, 'result', stored.result);
end $$;

-- A duplicate only if every event is stored already, in a row, in its stream, where the expectation would put it.
create function es.duplicate_verdict(request jsonb, ids uuid[]) returns jsonb
language plpgsql as $$
declare
  stored record;
  stream jsonb;
  place record;
begin
  select count(*) as events, min(position)::text as first, max(position)::text as last into stored
  from es.event where event_id = any (ids);
  if stored.events = 0 or stored.events < cardinality(ids) then
    return null;
  end if;
  for stream in select value from jsonb_array_elements(request -> 'streams') loop
    select count(*) as events, min(e.version - n.ordinality) as before, max(e.version - n.ordinality) as before_last,
      bool_and(e.stream_id = stream ->> 'streamId') as here into place
    from jsonb_array_elements(stream -> 'events') with ordinality n
    join es.event e on e.event_id = (n.value #>> '{event,id}')::uuid;
    continue when place.events = 0;
    if not place.here or place.before <> place.before_last or not es.meets(stream -> 'expected', place.before) then
      return null;
    end if;
  end loop;
  return jsonb_build_object('status', 'duplicate', 'first', stored.first, 'last', stored.last, 'result', null);
end $$;

create function es.fence_verdict(asked jsonb) returns jsonb
language plpgsql as $$
declare
  current bigint;
begin
  if asked is null then
    return null;
  end if;
  select term into current from es.fence where name = asked ->> 'name';
  if found and (asked ->> 'term')::bigint < current then
    return jsonb_build_object('status', 'fenced', 'term', current);
  end if;
  return null;
end $$;

-- A stream may be named twice in a request: the later part then expects what the earlier one leaves.
create function es.version_verdict(request jsonb, ids uuid[]) returns jsonb
language plpgsql as $$
declare
  stream jsonb;
  actual bigint;
  versions jsonb := '{}';
begin
  for stream in select value from jsonb_array_elements(request -> 'streams') loop
    actual := coalesce((versions ->> (stream ->> 'streamId'))::bigint, es.version_of(stream ->> 'streamId'));
    if not es.meets(stream -> 'expected', actual) then
      return es.version_conflict(stream ->> 'streamId', actual, stream -> 'expected');
    end if;
    if jsonb_array_length(request -> 'streams') > 1 then
      versions := versions || jsonb_build_object(stream ->> 'streamId', actual + jsonb_array_length(stream -> 'events'));
    end if;
  end loop;
  return es.used_id_verdict(request, ids);
end $$;

create function es.conflict(stream text, actual bigint, message text) returns jsonb
language sql stable as $$
  select jsonb_build_object('status', 'conflict', 'streamId', stream, 'actual', actual, 'message', message)
$$;

create function es.version_conflict(stream text, actual bigint, expected jsonb) returns jsonb
language sql stable as $$
  select es.conflict(stream, actual, format('%s is at version %s, expected %s', stream, actual, expected #>> '{}'))
$$;

create function es.used_id_verdict(request jsonb, ids uuid[]) returns jsonb
language plpgsql as $$
declare
  used uuid;
  stream text;
begin
  select event_id into used from es.event where event_id = any (ids) limit 1;
  if not found and cardinality(ids) > 1 then
    select id into used from unnest(ids) id group by id having count(*) > 1 limit 1;
  end if;
  if used is null then
    return null;
  end if;
  select s ->> 'streamId' into stream
  from jsonb_array_elements(request -> 'streams') s, jsonb_array_elements(s -> 'events') e
  where (e #>> '{event,id}')::uuid = used limit 1;
  return es.conflict(stream, es.version_of(stream), format('event id already used: %s', used));
end $$;

-- Changes es.claim as it goes: the caller undoes it when there is an objection.
create function es.claim_verdict(request jsonb) returns jsonb
language plpgsql as $$
declare
  change record;
  owner text;
begin
  for change in
    select s ->> 'streamId' as stream, c ->> 'op' as op, c ->> 'scope' as scope, c ->> 'key' as key
    from jsonb_array_elements(request -> 'streams') with ordinality a(s, i),
      jsonb_array_elements(s -> 'events') with ordinality b(e, j),
      jsonb_array_elements(e #> '{event,claims}') with ordinality c(c, k)
    order by i, j, k
  loop
    if change.op = 'release' then
      delete from es.claim where scope = change.scope and key = change.key and stream_id = change.stream;
      continue;
    end if;
    insert into es.claim (scope, key, stream_id) values (change.scope, change.key, change.stream)
    on conflict do nothing;
    continue when found;
    select stream_id into owner from es.claim where scope = change.scope and key = change.key;
    if owner <> change.stream then
      return jsonb_build_object('status', 'claim-taken', 'scope', change.scope, 'key', change.key, 'owner', owner);
    end if;
  end loop;
  return null;
end $$;

create function es.condition_verdict(asked jsonb) returns jsonb
language plpgsql as $$
declare
  broken bigint;
  streams text[];
begin
  if asked is null then
    return null;
  end if;
  if asked ? 'streams' then
    streams := array(select jsonb_array_elements_text(asked -> 'streams'));
  end if;
  -- Row-wise, so that only the index on (type, position) fits: the primary key would be walked from `after` to the end.
  select min(hit.position) into broken
  from jsonb_array_elements_text(asked -> 'types') wanted,
    lateral (
      select e.position from es.event e
      where (e.type, e.position) > (wanted, (asked ->> 'after')::bigint) and e.type <= wanted
        and (streams is null or e.stream_id = any (streams))
      order by e.type, e.position limit 1
    ) hit;
  if broken is null then
    return null;
  end if;
  return jsonb_build_object('status', 'condition-failed', 'position', broken::text);
end $$;

create function es.claim_and_condition_verdict(request jsonb) returns jsonb
language plpgsql as $$
declare
  verdict jsonb;
begin
  if not jsonb_path_exists(request, '$.streams[*].events[*].event.claims[*]') then
    return es.condition_verdict(request -> 'condition');
  end if;
  begin
    verdict := coalesce(es.claim_verdict(request), es.condition_verdict(request -> 'condition'));
    if verdict is not null then
      raise exception using errcode = 'ES000';
    end if;
  exception when sqlstate 'ES000' then
    -- The sub-transaction has taken the claims back; the variable outlives it.
    null;
  end;
  return verdict;
end $$;

create function es.ok_verdict(first bigint, last bigint, versions jsonb) returns jsonb
language sql stable as $$
  select jsonb_build_object('status', 'ok', 'versions', versions,
    'first', case when last >= first then first::text end, 'last', case when last >= first then last::text end)
$$;

-- The end of the chain, and the time that comes next: never before that of the last event.
create function es.chain_end(out "position" bigint, out hash bytea, out now timestamptz)
language plpgsql as $$
begin
  select e.position, e.hash, greatest(clock_timestamp(), e.recorded_at) into chain_end.position, chain_end.hash, now
  from es.event e order by e.position desc limit 1;
  if not found then
    select 0, sha256(convert_to(origin_id::text, 'UTF8')), clock_timestamp() into chain_end.position, chain_end.hash, now
    from es.store;
  end if;
end $$;

-- Stores the events of an accepted request.
create function es.store_events(request jsonb) returns jsonb
language plpgsql as $$
declare
  last record := es.chain_end();
  first bigint := last.position + 1;
  stream jsonb;
  item jsonb;
  event jsonb;
  version bigint;
  versions jsonb := '{}';
begin
  for stream in select value from jsonb_array_elements(request -> 'streams') loop
    version := es.version_of(stream ->> 'streamId');
    for item in select value from jsonb_array_elements(stream -> 'events') loop
      version := version + 1;
      event := item -> 'event';
      last.position := last.position + 1;
      last.hash := es.chain(last.hash, decode(item ->> 'hash', 'hex'), last.position, version, last.now);
      insert into es.event values (last.position, stream ->> 'category', stream ->> 'streamId', version,
        (event ->> 'id')::uuid, event ->> 'type', (event ->> 'schemaVersion')::integer, event -> 'data',
        event -> 'meta', nullif(event -> 'claims', '[]'), last.now, decode(item ->> 'hash', 'hex'), last.hash);
    end loop;
    versions := versions || jsonb_build_object(stream ->> 'streamId', version);
  end loop;
  return es.ok_verdict(first, last.position, versions);
end $$;

create function es.store_command(answered jsonb, verdict jsonb) returns void
language plpgsql as $$
begin
  insert into es.command values ((answered ->> 'id')::uuid, answered ->> 'requestHash', (verdict ->> 'first')::bigint,
    (verdict ->> 'last')::bigint, answered -> 'result');
end $$;

create function es.append_one(request jsonb) returns jsonb
language plpgsql as $$
declare
  verdict jsonb;
  ids uuid[] := array(
    select (e #>> '{event,id}')::uuid
    from jsonb_array_elements(request -> 'streams') s, jsonb_array_elements(s -> 'events') e);
begin
  verdict := coalesce(
    es.command_verdict(request -> 'command'),
    es.duplicate_verdict(request, ids),
    es.fence_verdict(request -> 'fence'),
    es.version_verdict(request, ids),
    es.claim_and_condition_verdict(request));
  if verdict is not null then
    return verdict;
  end if;
  verdict := es.store_events(request);
  if request ? 'command' then
    perform es.store_command(request -> 'command', verdict);
  end if;
  return verdict;
end $$;

-- What follows does the same for many plain requests at once: one stream each, no claim, condition or fence, nothing that
-- was stored before. Anything else goes one by one.

create function es.is_plain(requests jsonb) returns boolean
language plpgsql as $$
declare
  ids uuid[];
  commands uuid[];
begin
  if exists (
    select from jsonb_array_elements(requests) r
    where r ? 'condition' or r ? 'fence' or jsonb_array_length(r -> 'streams') <> 1
      or jsonb_array_length(r #> '{streams,0,events}') = 0)
    or jsonb_path_exists(requests, '$[*].streams[0].events[*].event.claims[*]')
  then
    return false;
  end if;
  ids := array(select (item #>> '{event,id}')::uuid from es.plain_events(requests));
  commands := array(select (r #>> '{command,id}')::uuid from jsonb_array_elements(requests) r where r ? 'command');
  return cardinality(ids) = (select count(distinct id) from unnest(ids) id)
    and cardinality(commands) = (select count(distinct id) from unnest(commands) id)
    and not exists (select from es.event where event_id = any (ids))
    and not exists (select from es.command where command_id = any (commands));
end $$;

create function es.plain_events(requests jsonb, out request bigint, out nth bigint, out stream jsonb, out item jsonb)
returns setof record language sql immutable as $$
  select r.n, e.k, r.value #> '{streams,0}', e.value
  from jsonb_array_elements(requests) with ordinality r (value, n),
    jsonb_array_elements(r.value #> '{streams,0,events}') with ordinality e (value, k)
  order by r.n, e.k
$$;

create function es.append_plain(requests jsonb) returns jsonb
language plpgsql as $$
declare
  last record := es.chain_end();
  asked record;
  accepted boolean;
  row integer := 0;
  -- By the number of the first request that names the stream.
  at bigint[];
  -- By row of plain_events; null where refused.
  positions bigint[] := '{}';
  versions bigint[] := '{}';
  hashes bytea[] := '{}';
  verdicts jsonb[] := '{}';
begin
  at := array(select es.version_of(r #>> '{streams,0,streamId}') from jsonb_array_elements(requests) r);
  for asked in
    select request, nth, stream ->> 'streamId' as stream, stream -> 'expected' as expected,
      jsonb_array_length(stream -> 'events') as events, decode(item ->> 'hash', 'hex') as content,
      min(request) over (partition by stream ->> 'streamId') as slot
    from es.plain_events(requests) order by request, nth
  loop
    row := row + 1;
    if asked.nth = 1 then
      accepted := es.meets(asked.expected, at[asked.slot]);
      verdicts[asked.request] := case
        when accepted then es.ok_verdict(last.position + 1, last.position + asked.events,
          jsonb_build_object(asked.stream, at[asked.slot] + asked.events))
        else es.version_conflict(asked.stream, at[asked.slot], asked.expected)
      end;
    end if;
    if accepted then
      at[asked.slot] := at[asked.slot] + 1;
      last.position := last.position + 1;
      last.hash := es.chain(last.hash, asked.content, last.position, at[asked.slot], last.now);
      positions[row] := last.position;
      versions[row] := at[asked.slot];
      hashes[row] := last.hash;
    end if;
  end loop;
  perform es.store_plain(requests, positions, versions, hashes, last.now);
  perform es.store_command(r.value -> 'command', verdicts[r.n])
  from jsonb_array_elements(requests) with ordinality r (value, n)
  where r.value ? 'command' and verdicts[r.n] ->> 'status' = 'ok';
  return to_jsonb(verdicts);
end $$;

create function es.store_plain(requests jsonb, positions bigint[], versions bigint[], hashes bytea[], now timestamptz)
returns void language sql as $$
  insert into es.event
  select a.position, stream ->> 'category', stream ->> 'streamId', a.version, (item #>> '{event,id}')::uuid,
    item #>> '{event,type}', (item #>> '{event,schemaVersion}')::integer, item #> '{event,data}', item #> '{event,meta}',
    null, now, decode(item ->> 'hash', 'hex'), a.hash
  from rows from (es.plain_events(requests), unnest(positions, versions, hashes))
    as a (request, nth, stream, item, position, version, hash)
  where a.position is not null
$$;

create function es.head() returns bigint
language plpgsql stable as $$
begin
  return coalesce((select position from es.event order by position desc limit 1), 0);
end $$;

-- One verdict per request, in order; each is judged on the state that the accepted ones before it have left.
create function es.append_many(requests jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
-- The plans are made while the table is small and kept while it grows.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  request jsonb;
  before bigint;
  after bigint;
  verdicts jsonb := '[]';
begin
  perform es.lock_log();
  before := es.head();
  if jsonb_array_length(requests) > 1 and es.is_plain(requests) then
    verdicts := es.append_plain(requests);
  else
    for request in select value from jsonb_array_elements(requests) loop
      verdicts := verdicts || es.append_one(request);
    end loop;
  end if;
  after := es.head();
  if after > before then
    perform pg_notify('es_event', after::text);
  end if;
  return verdicts;
end $$;

-- A new term for a leader. Whoever still acts under an older one can append no more once this has committed.
create function es.next_term(fence_name text, fence_holder text) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  new_term bigint;
begin
  perform es.lock_log();
  insert into es.fence as f (name, term, holder) values (fence_name, 1, fence_holder)
  on conflict (name) do update set term = f.term + 1, holder = excluded.holder
  returning f.term into new_term;
  return new_term;
end $$;

revoke all on all functions in schema es from public;
grant usage on schema es to mcpd_app;
grant select on all tables in schema es to mcpd_app;
grant execute on function es.append_many(jsonb), es.next_term(text, text) to mcpd_app;
-- Where a processor stands is no fact: it moves, and is locked by whoever moves it.
grant insert, update on es.checkpoint to mcpd_app;
grant insert, update, delete on es.parked to mcpd_app;
