-- What sagas have decided and not yet sent. Written together with the saga's state and checkpoint; a row that is gone was sent.
create table es.outbox (
  -- uuidv5 of saga, source event and ordinal: the same whenever the event is handled again.
  id uuid primary key,
  processor text collate "C" not null,
  -- Which of the saga's instances speaks: what one says is sent in order.
  instance text collate "C" not null,
  position bigint not null,
  ordinal integer not null,
  output jsonb not null,
  -- The event that the saga reacts to, and what set all of this in motion.
  cause uuid not null,
  correlation text,
  status text not null default 'pending' check (status in ('pending', 'parked')),
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  last_error text
);

create unique index outbox_order on es.outbox (processor, instance, position, ordinal);

grant select, insert, update, delete on es.outbox to mcpd_app;

-- The keys of values that can be forgotten. Key material is no event, or it could never be destroyed. A subject has a wrapped key
-- or, once and for all, a tombstone.
create table es.subject_key (
  subject text collate "C" primary key,
  key_id uuid unique,
  -- Which key-encryption key wraps it; not the key itself.
  kek_id text,
  wrapped bytea,
  created_at timestamptz not null default now(),
  forgotten_at timestamptz check (isfinite(forgotten_at)),
  check (num_nulls(key_id, kek_id, wrapped) = case when forgotten_at is null then 0 else 3 end)
)
-- A destroyed key stays in the table's file until its page is written over; vacuum makes room for that within a minute or so.
with (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

create function es.refuse_key_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op <> 'UPDATE' then
    raise exception 'keys of subjects are destroyed by forgetting, and tombstones stay' using errcode = 'insufficient_privilege';
  elsif old.forgotten_at is not null then
    raise exception 'subject "%" is forgotten for ever', old.subject using errcode = 'restrict_violation';
  elsif new.forgotten_at is null or new.subject <> old.subject then
    raise exception 'subject "%" has a key, which can be destroyed but not replaced', old.subject
      using errcode = 'restrict_violation';
  end if;
  return new;
end $$;

create trigger key_is_only_destroyed before update or delete on es.subject_key
for each row execute function es.refuse_key_change();
create trigger keys_are_not_truncated before truncate on es.subject_key
for each statement execute function es.refuse_key_change();

revoke all on function es.refuse_key_change() from public;
grant select, insert, update (key_id, kek_id, wrapped, forgotten_at) on es.subject_key to mcpd_app;
