-- Credentials are no events: what is hashed here must be possible to destroy. The log says only who was issued which token.

create schema access;

create table access.token (
  token_hash bytea       primary key,
  token_id   uuid        not null unique,
  -- The part that people may see to tell tokens apart.
  prefix     text        not null,
  user_uid   uuid        not null,
  user_name  text        not null,
  issued_at  timestamptz not null default now(),
  expires_at timestamptz
);

create index token_user on access.token (user_uid);

grant usage on schema access to mcpd_app;
grant select, insert, delete on access.token to mcpd_app;
