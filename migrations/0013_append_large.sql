-- The append_together of 0005, which took what belongs to a request out of it anew for each of its events: of a large one that was a copy
-- of megabytes each time, while everybody waited. "offset 0" keeps the planner from doing the same.

-- Raises unique_violation where an id, a key or a command is known already.
create or replace function es.append_together(requests jsonb) returns jsonb
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
    select r.n::integer as request, r.command, r.ruled, r.parts, s.n as part, e.n as nth, s.v ->> 'streamId' as stream,
      s.v ->> 'category' as category, s.v -> 'expected' as expected, e.v -> 'event' as event, e.v #> '{event,claims}' as claims,
      decode(e.v ->> 'hash', 'hex') as content,
      case e.n when 1 then
        (select v.version from es.event v where v.stream_id = s.v ->> 'streamId' order by v.version desc limit 1)
      end as stored
    from (
        select n, v -> 'streams' as streams, v -> 'command' as command, v ?| array['condition', 'fence'] as ruled,
          jsonb_array_length(v -> 'streams') as parts
        from jsonb_array_elements(requests) with ordinality q (v, n) offset 0) r
      left join lateral jsonb_array_elements(r.streams) with ordinality s (v, n) on true
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
