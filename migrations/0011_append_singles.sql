-- Requests of one event for one stream each, the most frequent ones, are taken apart before the log is locked: while one connection
-- does that, another one appends. Under the lock remain versions, chain and rows. What does not fit goes the way of 0005.

-- Columns by request.
create type es.singles as (
  -- All of them expect that there is no such stream yet.
  fresh boolean,
  stream text[],
  category text[],
  expected jsonb[],
  id uuid[],
  type text[],
  schema_version integer[],
  data jsonb[],
  meta jsonb[],
  claims jsonb[],
  content bytea[],
  command_id uuid[],
  command_hash text[],
  command_result jsonb[],
  -- Columns by claim that is taken.
  scope text[],
  key text[],
  claimant text[]
);

-- Null unless each request is an event for a stream of its own, without rules and without releasing a claim.
create function es.read_singles(requests jsonb) returns es.singles
language plpgsql immutable as $$
declare
  read es.singles;
  fit boolean;
begin
  select bool_and(i.v is not null and e.v #> '{streams,1}' is null and s.v #> '{events,1}' is null
      and not e.v ?| array['condition', 'fence']),
    bool_and(s.v -> 'expected' = '"none"'),
    array_agg(s.v ->> 'streamId'), array_agg(s.v ->> 'category'), array_agg(s.v -> 'expected'),
    array_agg((i.v ->> 'id')::uuid), array_agg(i.v ->> 'type'), array_agg((i.v -> 'schemaVersion')::integer),
    array_agg(i.v -> 'data'), array_agg(i.v -> 'meta'), array_agg(nullif(i.v -> 'claims', '[]')),
    array_agg(decode(s.v #>> '{events,0,hash}', 'hex')),
    array_agg((e.v #>> '{command,id}')::uuid), array_agg(e.v #>> '{command,requestHash}'), array_agg(e.v #> '{command,result}')
  into fit, read.fresh, read.stream, read.category, read.expected, read.id, read.type, read.schema_version, read.data, read.meta,
    read.claims, read.content, read.command_id, read.command_hash, read.command_result
  from jsonb_array_elements(requests) e (v),
    lateral (select e.v #> '{streams,0}' as v offset 0) s,
    lateral (select s.v #> '{events,0,event}' as v offset 0) i;
  if not fit or not read.fresh and cardinality(read.stream) > (select count(distinct s) from unnest(read.stream) s) then
    return null;
  end if;
  select array_agg(c.v ->> 'scope'), array_agg(c.v ->> 'key'), array_agg(e.stream), bool_and(c.v ->> 'op' = 'take')
  into read.scope, read.key, read.claimant, fit
  from unnest(read.claims, read.stream) e (claims, stream), jsonb_array_elements(e.claims) c (v);
  if not fit then
    return null;
  end if;
  return read;
end $$;

-- Answers in short, for all of them together. Null when a version is not as expected; raises unique_violation where a stream, an id,
-- a key or a command is known already.
create function es.append_singles(read es.singles) returns jsonb
language plpgsql as $$
declare
  last record := es.chain_end();
  recorded bytea := int8send((extract(epoch from last.now) * 1000000)::bigint);
  hash bytea := last.hash;
  contents bytea[] := read.content;
  hashes bytea[] := '{}';
  versions bigint[] := array_fill(1::bigint, array[cardinality(contents)]);
  met boolean;
begin
  if not read.fresh then
    select array_agg(coalesce(v.version, 0) + 1 order by e.n), bool_and(es.meets(e.expected, coalesce(v.version, 0)))
    into versions, met
    from unnest(read.stream, read.expected) with ordinality e (stream, expected, n)
      left join lateral
        (select l.version from es.event l where l.stream_id = e.stream order by l.version desc limit 1) v on true;
    if not met then
      return null;
    end if;
  end if;
  for n in 1 .. cardinality(contents) loop
    -- es.chain, with the time spelled once.
    hash := sha256(hash || contents[n] || int8send(last.position + n) || int8send(versions[n]) || recorded);
    hashes[n] := hash;
  end loop;
  insert into es.event
  select last.position + e.n, e.category, e.stream, e.version, e.id, e.type, e.schema_version, e.data, e.meta, e.claims, last.now,
    e.content, e.hash
  from unnest(read.category, read.stream, versions, read.id, read.type, read.schema_version, read.data, read.meta, read.claims,
      contents, hashes)
    with ordinality e (category, stream, version, id, type, schema_version, data, meta, claims, content, hash, n);
  if read.key is not null then
    insert into es.claim select * from unnest(read.scope, read.key, read.claimant);
  end if;
  insert into es.command
  select c.id, c.hash, last.position + c.n, last.position + c.n, c.result
  from unnest(read.command_id, read.command_hash, read.command_result) with ordinality c (id, hash, result, n)
  where c.id is not null;
  perform pg_notify('es_event', (last.position + cardinality(contents))::text);
  return jsonb_build_object('first', (last.position + 1)::text, 'versions', to_jsonb(versions));
end $$;

-- As before, with one statement per table: that is quicker than one for all. Null for what does not fit, for a version that is not as
-- expected, and for the first event of all.
create or replace function es.append_single(request jsonb) returns jsonb
language plpgsql as $$
declare
  part jsonb := request #> '{streams,0}';
  event jsonb := part #> '{events,0,event}';
  stream text := part ->> 'streamId';
  taken jsonb := event -> 'claims';
  command jsonb := request -> 'command';
  content bytea := decode(part #>> '{events,0,hash}', 'hex');
  stored bigint;
  version bigint := 1;
  previous bytea;
  now timestamptz;
begin
  if not es.is_single(request) then
    return null;
  end if;
  select l.position + 1, l.hash, greatest(clock_timestamp(), l.recorded_at) into stored, previous, now
  from es.event l order by l.position desc limit 1;
  if part ->> 'expected' <> 'none' then
    version := 1 + es.version_of(stream);
    if not es.meets(part -> 'expected', version - 1) then
      return null;
    end if;
  end if;
  if stored is null then
    return null;
  end if;
  insert into es.event values (stored, part ->> 'category', stream, version, (event ->> 'id')::uuid, event ->> 'type',
    (event -> 'schemaVersion')::integer, event -> 'data', event -> 'meta', nullif(taken, '[]'), now, content,
    es.chain(previous, content, stored, version, now));
  if taken -> 1 is not null then
    insert into es.claim select c ->> 'scope', c ->> 'key', stream from jsonb_array_elements(taken) c;
  elsif taken <> '[]' then
    insert into es.claim values (taken #>> '{0,scope}', taken #>> '{0,key}', stream);
  end if;
  if command is not null then
    insert into es.command values ((command ->> 'id')::uuid, command ->> 'requestHash', stored, stored, command -> 'result');
  end if;
  perform pg_notify('es_event', stored::text);
  return jsonb_build_object('first', stored::text, 'versions', array[version]);
end $$;

-- All of them at once or, when that will not do, each half for itself: the state that one half leaves is what the next one meets.
create or replace function es.append_chunk(requests jsonb) returns jsonb
language plpgsql as $$
declare
  count integer := jsonb_array_length(requests);
  verdicts jsonb;
  before bigint;
begin
  begin
    verdicts := es.append_together(requests);
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

-- One verdict per request, in order; each is judged on the state that the accepted ones before it have left. Where all requests were
-- accepted and brought one event each, { first, versions } stands for the verdicts.
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
  read es.singles := es.read_singles(requests);
  verdicts jsonb;
begin
  perform es.lock_log();
  if requests = '[]' then
    return requests;
  end if;
  begin
    if read.stream is not null then
      verdicts := es.append_singles(read);
    end if;
  exception when unique_violation then
    verdicts := null;
  end;
  return coalesce(verdicts, es.append_chunk(requests));
end $$;

-- One request by the shortest way: { first, versions } once it is stored. Where it answers null or raises unique_violation nothing is
-- stored, and append_many tells why; a block that catches the error would cost every append that has none.
create function es.append_alone(request jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  perform es.lock_log();
  return es.append_single(request);
end $$;

revoke all on all functions in schema es from public;
grant execute on function es.append_alone(jsonb) to mcpd_app;
