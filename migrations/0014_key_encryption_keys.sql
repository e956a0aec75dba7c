-- The keys that wrap the keys of subjects, by name: none of them is in the database. The last one is current.
create table es.key_encryption_key (
  ordinal int generated always as identity primary key,
  kek_id text not null unique,
  -- Something known, encrypted with it: whoever holds the key can tell that it is the right one.
  canary bytea not null,
  created_at timestamptz not null default now(),
  -- Since when it wraps nothing, and never will again.
  retired_at timestamptz
);

create function es.refuse_kek_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if old.retired_at is not null or new.retired_at is null then
    raise exception 'a key-encryption key is retired once, and for ever' using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
create trigger kek_is_only_retired before update on es.key_encryption_key
for each row execute function es.refuse_kek_change();
revoke all on function es.refuse_kek_change() from public;
grant select, insert (kek_id, canary), update (retired_at) on es.key_encryption_key to mcpd_app;

-- A key may be wrapped by another key-encryption key; it stays the same key.
create or replace function es.refuse_key_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op <> 'UPDATE' then
    raise exception 'keys of subjects are destroyed by forgetting, and tombstones stay' using errcode = 'insufficient_privilege';
  elsif old.forgotten_at is not null then
    raise exception 'subject "%" is forgotten for ever', old.subject using errcode = 'restrict_violation';
  elsif new.subject <> old.subject or (new.forgotten_at is null and (new.key_id <> old.key_id or new.kek_id = old.kek_id)) then
    raise exception 'subject "%" has a key, which can be destroyed but not replaced', old.subject
      using errcode = 'restrict_violation';
  end if;
  return new;
end $$;

-- Whoever was slow may still hold a key-encryption key that was retired meanwhile, which is kept nowhere any more. The lock is shared by all who
-- wrap with it, and makes who retires it wait for them.
create function es.refuse_retired_kek() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  retired timestamptz;
begin
  select retired_at into retired from es.key_encryption_key where kek_id = new.kek_id for share;
  if retired is not null then
    raise exception 'the key-encryption key % was retired meanwhile; try again', new.kek_id using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
create trigger kek_is_in_use before insert or update of kek_id on es.subject_key
for each row when (new.kek_id is not null) execute function es.refuse_retired_kek();
revoke all on function es.refuse_retired_kek() from public;

-- How much is left to wrap anew is asked for again and again.
create index subject_key_kek on es.subject_key (kek_id) where kek_id is not null;
