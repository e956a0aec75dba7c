-- Appends as sets. The functions of 0001 judge request by request and stay the rule; what follows does the same at once for requests
-- that can all be accepted, or that are refused for their version alone. It answers null for anything else: then the requests are split.

-- A time beyond all times would be the least for every event after it.
alter table es.event add constraint event_recorded_at
  check (recorded_at >= '1970-01-01 00:00:00Z' and recorded_at < '10000-01-01 00:00:00Z');

-- Appends and fences of all daemons pass here one after the other. Holding it while idle ends the transaction, so a frozen
-- holder lets go by itself. What is acknowledged is on disk, whatever the session or the database is set to.
create or replace function es.lock_log() returns void
language plpgsql as $$
declare
  ignored text;
begin
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception 'the log is appended to under READ COMMITTED only'
      using errcode = 'invalid_transaction_state',
            hint = 'An older snapshot would hand out positions twice.';
  end if;
  -- Assignments, not queries: a third of the cost.
  ignored := pg_advisory_xact_lock(7236831550221746258)::text;
  ignored := set_config('idle_in_transaction_session_timeout', '1s', true);
  if current_setting('synchronous_commit') = 'off' then
    ignored := set_config('synchronous_commit', 'on', true);
  end if;
end $$;

-- One event for one stream, the most frequent request of a daemon at rest, in one statement.
create function es.append_single(request jsonb) returns jsonb
language plpgsql as $$
declare
  ignored text;
  taken jsonb := request #> '{streams,0,events,0,event,claims}';
  stored_position bigint;
  stored_version bigint;
begin
  insert into es.event
  select n.position, s.category, s.stream, n.version, (e.event ->> 'id')::uuid, e.event ->> 'type',
    (e.event -> 'schemaVersion')::integer, e.event -> 'data', e.event -> 'meta', nullif(taken, '[]'), n.now, e.hash,
    es.chain(n.previous, e.hash, n.position, n.version, n.now)
  from
    (select request #> '{streams,0,events,0,event}' as event, decode(request #>> '{streams,0,events,0,hash}', 'hex') as hash
     offset 0) e,
    (select request #>> '{streams,0,streamId}' as stream, request #>> '{streams,0,category}' as category,
       request #> '{streams,0,expected}' as expected offset 0) s,
    lateral (
      select l.position + 1 as position, l.hash as previous, greatest(clock_timestamp(), l.recorded_at) as now,
        1 + coalesce((select v.version from es.event v where v.stream_id = s.stream order by v.version desc limit 1), 0)
          as version
      from es.event l order by l.position desc limit 1) n
  where es.meets(s.expected, n.version - 1)
  returning position, version into stored_position, stored_version;
  if not found then
    return null;
  end if;
  if taken <> '[]' then
    insert into es.claim select c ->> 'scope', c ->> 'key', request #>> '{streams,0,streamId}'
    from jsonb_array_elements(taken) c;
  end if;
  if request ? 'command' then
    insert into es.command values ((request #>> '{command,id}')::uuid, request #>> '{command,requestHash}', stored_position,
      stored_position, request #> '{command,result}');
  end if;
  ignored := pg_notify('es_event', stored_position::text)::text;
  return jsonb_build_array(es.ok_verdict(stored_position, stored_position,
    jsonb_build_object(request #>> '{streams,0,streamId}', stored_version)));
end $$;

create function es.is_single(request jsonb) returns boolean
language sql immutable as $$
  select not (request ?| array['condition', 'fence']) and jsonb_array_length(request -> 'streams') = 1
    and jsonb_array_length(request #> '{streams,0,events}') = 1
    and not request #> '{streams,0,events,0,event,claims}' @> '[{"op": "release"}]'
$$;

-- Was anything of this stored before, or does it come twice, so that the answer may be "duplicate"?
create function es.is_known(requests jsonb) returns boolean
language plpgsql as $$
declare
  ids uuid[] := array(
    select (e #>> '{event,id}')::uuid
    from jsonb_array_elements(requests) r, jsonb_array_elements(r -> 'streams') s, jsonb_array_elements(s -> 'events') e);
  commands uuid[] := array(
    select (r #>> '{command,id}')::uuid from jsonb_array_elements(requests) r where r ? 'command');
begin
  return cardinality(ids) > (select count(distinct id) from unnest(ids) id)
    or cardinality(commands) > (select count(distinct id) from unnest(commands) id)
    or exists (select from es.event where event_id = any (ids))
    or exists (select from es.command where command_id = any (commands));
end $$;

-- Takes and releases keys. False when the order of the changes matters, that is, when a key is named twice and not only taken.
create function es.claim_together(claims jsonb[], streams text[]) returns boolean
language plpgsql as $$
declare
  named bigint;
  once bigint;
begin
  if exists (select from unnest(claims) changes where changes @> '[{"op": "release"}]') then
    select count(*), count(distinct (c.scope, c.key)) into named, once
    from unnest(claims) changes, jsonb_to_recordset(changes) c (scope text, key text);
    if once < named then
      return false;
    end if;
    delete from es.claim taken
    using unnest(claims, streams) e (changes, stream), jsonb_to_recordset(e.changes) c (op text, scope text, key text)
    where c.op = 'release' and taken.scope = c.scope and taken.key = c.key and taken.stream_id = e.stream;
  end if;
  insert into es.claim
  select c.scope, c.key, e.stream
  from unnest(claims, streams) e (changes, stream), jsonb_to_recordset(e.changes) c (op text, scope text, key text)
  where c.op = 'take';
  return true;
end $$;

-- Several conditions must all hold; the first that does not is told.
alter function es.condition_verdict(jsonb) rename to one_condition_verdict;

create function es.condition_verdict(asked jsonb) returns jsonb
language plpgsql as $$
declare
  condition jsonb;
  verdict jsonb;
begin
  for condition in select value from jsonb_array_elements(asked) loop
    verdict := es.one_condition_verdict(condition);
    exit when verdict is not null;
  end loop;
  return verdict;
end $$;

-- Do fence and condition let this request pass, whatever the requests before it have added?
create function es.rules_allow(request jsonb, types_before text[]) returns boolean
language plpgsql as $$
begin
  return es.fence_verdict(request -> 'fence') is null
    and not coalesce(jsonb_path_query_array(request, '$.condition[*].types[*]') ?| types_before, false)
    and es.condition_verdict(request -> 'condition') is null;
end $$;

-- Raises unique_violation where an id, a key or a command is known already.
create function es.append_together(requests jsonb) returns jsonb
language plpgsql as $$
declare
  last record;
  asked record;
  before bigint;
  slot integer;
  refused boolean;
  row integer := 0;
  -- By accepted event that changes claims.
  claiming integer := 0;
  claims jsonb[] := '{}';
  claimants text[] := '{}';
  types text[] := '{}';
  -- By stream, in order of appearance.
  names text[] := '{}';
  at bigint[] := '{}';
  -- By accepted event.
  events jsonb[] := '{}';
  streams text[] := '{}';
  categories text[] := '{}';
  contents bytea[] := '{}';
  positions bigint[] := '{}';
  versions bigint[] := '{}';
  hashes bytea[] := '{}';
  -- By request, and full from the start: an element beyond an empty array would become its first. Of a request that names
  -- several streams, `stands` tells of each.
  size integer[] := array[jsonb_array_length(requests)];
  firsts bigint[] := array_fill(null::bigint, size);
  lasts bigint[] := firsts;
  stands jsonb[] := array_fill(null::jsonb, size);
  commands jsonb[] := stands;
  refusals jsonb[] := stands;
  has_commands boolean := false;
  has_refusals boolean := false;
begin
  last := es.chain_end();
  before := last.position;
  for asked in
    select r.n::integer as request, r.v -> 'command' as command, r.v ?| array['condition', 'fence'] as ruled,
      jsonb_array_length(r.v -> 'streams') as parts, s.n as part, e.n as nth, s.v ->> 'streamId' as stream,
      s.v ->> 'category' as category, s.v -> 'expected' as expected, e.v -> 'event' as event, e.v #> '{event,claims}' as claims,
      decode(e.v ->> 'hash', 'hex') as content,
      case e.n when 1 then
        (select v.version from es.event v where v.stream_id = s.v ->> 'streamId' order by v.version desc limit 1)
      end as stored
    from jsonb_array_elements(requests) with ordinality r (v, n)
      left join lateral jsonb_array_elements(r.v -> 'streams') with ordinality s (v, n) on true
      left join lateral jsonb_array_elements(s.v -> 'events') with ordinality e (v, n) on true
  loop
    if asked.event is null then
      return null;
    end if;
    if asked.nth = 1 then
      if asked.part = 1 then
        refused := false;
        if asked.command is not null then
          has_commands := true;
          commands[asked.request] := asked.command;
        end if;
        if asked.ruled and not es.rules_allow(requests -> (asked.request - 1), types) then
          return null;
        end if;
        firsts[asked.request] := last.position + 1;
      end if;
      slot := array_position(names, asked.stream);
      if slot is null then
        slot := cardinality(names) + 1;
        names[slot] := asked.stream;
        at[slot] := coalesce(asked.stored, 0);
      end if;
      if not es.meets(asked.expected, at[slot]) then
        if asked.parts > 1 then
          return null;
        end if;
        refused := true;
        has_refusals := true;
        refusals[asked.request] := es.version_conflict(asked.stream, at[slot], asked.expected);
      end if;
    end if;
    continue when refused;
    row := row + 1;
    at[slot] := at[slot] + 1;
    last.position := last.position + 1;
    last.hash := es.chain(last.hash, asked.content, last.position, at[slot], last.now);
    events[row] := asked.event;
    streams[row] := asked.stream;
    categories[row] := asked.category;
    contents[row] := asked.content;
    positions[row] := last.position;
    versions[row] := at[slot];
    hashes[row] := last.hash;
    lasts[asked.request] := last.position;
    if asked.claims <> '[]' then
      claiming := claiming + 1;
      claims[claiming] := asked.claims;
      claimants[claiming] := asked.stream;
    end if;
    if array_position(types, asked.event ->> 'type') is null then
      types := types || (asked.event ->> 'type');
    end if;
    if asked.parts > 1 then
      stands[asked.request] := coalesce(stands[asked.request], '{}') || jsonb_build_object(asked.stream, at[slot]);
    end if;
  end loop;
  if has_refusals and es.is_known(requests) or claiming > 0 and not es.claim_together(claims, claimants) then
    return null;
  end if;
  insert into es.event
  select e.position, e.category, e.stream, e.version, (e.event ->> 'id')::uuid, e.event ->> 'type',
    (e.event -> 'schemaVersion')::integer, e.event -> 'data', e.event -> 'meta', nullif(e.event -> 'claims', '[]'),
    last.now, e.content, e.hash
  from unnest(positions, categories, streams, versions, events, contents, hashes)
    e (position, category, stream, version, event, content, hash);
  if has_commands then
    insert into es.command
    select (r.command ->> 'id')::uuid, r.command ->> 'requestHash', r.first, r.last, r.command -> 'result'
    from unnest(commands, firsts, lasts) r (command, first, last)
    where r.command is not null and r.last is not null;
  end if;
  if row > 0 then
    perform pg_notify('es_event', last.position::text);
  end if;
  return (
    select jsonb_agg(coalesce(v.refusal, jsonb_build_object('status', 'ok', 'first', v.first::text, 'last', v.last::text,
      'versions', coalesce(v.stands, jsonb_build_object(streams[(v.last - before)::integer], versions[(v.last - before)::integer])))))
    from unnest(firsts, lasts, refusals, stands) v (first, last, refusal, stands));
end $$;

-- All of them at once or, when that will not do, each half for itself: the state that one half leaves is what the next one meets.
create function es.append_chunk(requests jsonb) returns jsonb
language plpgsql as $$
declare
  count integer := jsonb_array_length(requests);
  verdicts jsonb;
  before bigint;
begin
  begin
    if count = 1 and es.is_single(requests -> 0) then
      verdicts := es.append_single(requests -> 0);
    else
      verdicts := es.append_together(requests);
    end if;
  exception when unique_violation then
    verdicts := null;
  end;
  if verdicts is not null then
    return verdicts;
  end if;
  if count > 1 then
    return es.append_chunk(jsonb_path_query_array(requests, '$[0 to $last]', jsonb_build_object('last', count / 2 - 1)))
      || es.append_chunk(jsonb_path_query_array(requests, '$[$first to last]', jsonb_build_object('first', count / 2)));
  end if;
  before := es.head();
  verdicts := jsonb_build_array(es.append_one(requests -> 0));
  if es.head() > before then
    perform pg_notify('es_event', es.head()::text);
  end if;
  return verdicts;
end $$;

-- One verdict per request, in order; each is judged on the state that the accepted ones before it have left.
create or replace function es.append_many(requests jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
-- The plans are made while the table is small and kept while it grows.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  ignored text;
begin
  ignored := es.lock_log()::text;
  if requests = '[]' then
    return requests;
  end if;
  return es.append_chunk(requests);
end $$;

drop function es.is_plain(jsonb), es.append_plain(jsonb), es.store_plain(jsonb, bigint[], bigint[], bytea[], timestamptz),
  es.plain_events(jsonb);
revoke all on all functions in schema es from public;
