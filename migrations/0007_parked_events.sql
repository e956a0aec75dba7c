-- Reading in batches that fit into memory: an event may hold a megabyte, so that a number of events alone bounds nothing.

-- The position of the last of at most max_events events after a position that hold at most max_bytes together. Never less
-- than one event, however large it is; the position itself when there is none.
create function es.batch_end(after bigint, max_events integer, max_bytes bigint) returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  last bigint;
  stored bigint;
  compressed boolean;
  total bigint := 0;
  event record;
begin
  select max(e.position), sum(pg_column_size(e.data) + pg_column_size(e.meta) + coalesce(pg_column_size(e.claims), 0)),
      bool_or(coalesce(pg_column_compression(e.data), pg_column_compression(e.meta), pg_column_compression(e.claims)) is not null)
    into last, stored, compressed
    from (select * from es.event where position > after order by position limit max_events) e;
  if last is null or stored <= max_bytes and not compressed then
    return coalesce(last, after);
  end if;
  last := after;
  for event in
    select e.position, (
      -- What is stored compressed may be a hundred times as large when it is read.
      select sum(case when pg_column_compression(v) is null then pg_column_size(v) else octet_length(v::text) end)
      from (values (e.data), (e.meta), (e.claims)) as part (v)) as bytes
    from es.event e where e.position > after order by e.position limit max_events
  loop
    total := total + event.bytes;
    exit when total > max_bytes and last > after;
    last := event.position;
  end loop;
  return last;
end $$;

revoke all on function es.batch_end(bigint, integer, bigint) from public;
grant execute on function es.batch_end(bigint, integer, bigint) to mcpd_app;

-- What was skipped is looked for in every version of a model.
create index parked_skipped on es.parked (processor, position) where status = 'skipped';
