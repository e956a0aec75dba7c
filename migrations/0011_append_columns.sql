-- Requests of one event for one stream each, without rules and taking one claim at most: nearly all requests are such. They travel as
-- columns, one text each with a line per request: PostgreSQL takes those apart much quicker than it walks through JSON, and does so before
-- it locks the log, while another connection appends. Whatever cannot be stored this way is sent to append_many, which says why.

drop function es.append_single(jsonb);
drop function es.is_single(jsonb);

-- The claims of an event that takes one. They are not sent beside the key: whoever calls the database himself could take a key by an
-- event that does not name it.
create function es.taken(scope text, key text) returns jsonb
language sql stable as $$
  select case when scope is not null then jsonb_build_array(jsonb_build_object('op', 'take', 'scope', scope, 'key', key)) end
$$;

-- All of them or none. { first, versions } once they are stored; null when an expectation is not met, or when a stream, an id, a claim or
-- a command is known already. An empty line says that a request has no claim, or no command.
create function es.append_columns(streams text, categories text, expectations text, ids text, types text, schema_versions text, datas text,
  metas text, content_hashes text, scopes text, keys text, commands text, command_hashes text, results text) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
-- The plans are made while the table is small and kept while it grows.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  stream text[] := string_to_array(streams, E'\n');
  category text[] := string_to_array(categories, E'\n');
  expected text[] := string_to_array(expectations, E'\n');
  id uuid[] := string_to_array(ids, E'\n')::uuid[];
  type text[] := string_to_array(types, E'\n');
  schema_version integer[] := string_to_array(schema_versions, E'\n')::integer[];
  data jsonb[] := string_to_array(datas, E'\n')::jsonb[];
  meta jsonb[] := string_to_array(metas, E'\n')::jsonb[];
  content bytea[] := string_to_array(content_hashes, E'\n')::bytea[];
  scope text[] := string_to_array(scopes, E'\n', '');
  key text[] := string_to_array(keys, E'\n', '');
  command uuid[] := string_to_array(commands, E'\n', '')::uuid[];
  command_hash text[] := string_to_array(command_hashes, E'\n');
  result jsonb[] := string_to_array(results, E'\n', '')::jsonb[];
  count integer := cardinality(stream);
  versions bigint[] := array_fill(1::bigint, array[count]);
  met boolean := true;
  last record;
  recorded bytea;
  hash bytea;
  hashes bytea[] := '{}';
begin
  perform es.lock_log();
  if 'none' <> any (expected) then
    select array_agg(b.version + e.rank order by e.n), bool_and(es.meets(to_jsonb(e.expected), b.version + e.rank - 1))
    into versions, met
    from (select *, row_number() over (partition by r.stream order by r.n) as rank
        from unnest(stream, expected) with ordinality r (stream, expected, n)) e
      join (select s.stream, es.version_of(s.stream) as version from (select distinct unnest(stream)) s (stream)) b using (stream);
  end if;
  if not met then
    return null;
  end if;
  last := es.chain_end();
  recorded := int8send((extract(epoch from last.now) * 1000000)::bigint);
  hash := last.hash;
  for n in 1 .. count loop
    -- es.chain, with the time spelled once.
    hash := sha256(hash || content[n] || int8send(last.position + n) || int8send(versions[n]) || recorded);
    hashes[n] := hash;
  end loop;
  insert into es.event
  select last.position + e.n, e.category, e.stream, e.version, e.id, e.type, e.schema_version, e.data, e.meta, es.taken(e.scope, e.key),
    last.now, e.content, e.hash
  from unnest(category, stream, versions, id, type, schema_version, data, meta, scope, key, content, hashes)
    with ordinality e (category, stream, version, id, type, schema_version, data, meta, scope, key, content, hash, n);
  if scopes is not null then
    insert into es.claim
    select c.scope, c.key, c.stream from unnest(scope, key, stream) c (scope, key, stream) where c.scope is not null;
  end if;
  if commands is not null then
    insert into es.command
    select c.id, c.hash, last.position + c.n, last.position + c.n, c.result
    from unnest(command, command_hash, result) with ordinality c (id, hash, result, n)
    where c.id is not null;
  end if;
  perform pg_notify('es_event', (last.position + count)::text);
  return jsonb_build_object('first', (last.position + 1)::text, 'versions', to_jsonb(versions));
exception when unique_violation then
  return null;
end $$;

-- One such request, with one statement per table: that is quicker than one for all. Null for an expectation that is not met and for the
-- first event of all; raises unique_violation where something is known already, since a block that catches the error would cost
-- every append that has none.
create function es.append_alone(stream text, category text, expected text, id uuid, type text, schema_version integer, data jsonb,
  meta jsonb, content bytea, scope text, key text, command uuid, command_hash text, result jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  stored bigint;
  version bigint := 1;
  previous bytea;
  now timestamptz;
begin
  perform es.lock_log();
  select l.position + 1, l.hash, greatest(clock_timestamp(), l.recorded_at) into stored, previous, now
  from es.event l order by l.position desc limit 1;
  if expected <> 'none' then
    version := 1 + es.version_of(stream);
    if not es.meets(to_jsonb(expected), version - 1) then
      return null;
    end if;
  end if;
  if stored is null then
    return null;
  end if;
  insert into es.event values (stored, category, stream, version, id, type, schema_version, data, meta, es.taken(scope, key), now,
    content, es.chain(previous, content, stored, version, now));
  if scope is not null then
    insert into es.claim values (scope, key, stream);
  end if;
  if command is not null then
    insert into es.command values (command, command_hash, stored, stored, result);
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

revoke all on all functions in schema es from public;
do $$
declare
  door regprocedure;
begin
  for door in select oid from pg_proc where pronamespace = 'es'::regnamespace and proname in ('append_alone', 'append_columns') loop
    execute format('grant execute on function %s to mcpd_app', door);
  end loop;
end $$;
