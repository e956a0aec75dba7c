-- The keys that wrap the keys of subjects, by name: none of them is in the database. The last one is current.
create table es.key_encryption_key (
  ordinal int generated always as identity primary key,
  kek_id text not null unique,
  -- Something known, encrypted with it: whoever holds the key can tell that it is the right one.
  canary bytea not null,
  created_at timestamptz not null default now()
);
grant select, insert, delete on es.key_encryption_key to mcpd_app;

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

-- How much is left to wrap anew is asked for again and again.
create index subject_key_kek on es.subject_key (kek_id) where kek_id is not null;
