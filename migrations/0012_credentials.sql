-- Credentials, beside the log: what is here can be destroyed, and the log never holds a hash of any of it.

alter table access.token
  -- pat: for programs of a person. svc: of a service user. ses: somebody has logged in.
  add column type text not null default 'pat' check (type in ('pat', 'svc', 'ses')),
  -- Renewed by the daemon for the operating system's user who owns it.
  add column is_local boolean not null default false,
  -- What it is narrowed to; null: nothing.
  add column scopes jsonb,
  add column note text,
  -- To the minute.
  add column last_used_at timestamptz,
  -- Of the last event that whoever issued it had seen: it ends with any later event that ends all of the user's.
  add column seen_position bigint not null default 0;

create index token_expiry on access.token (expires_at);

create table access.password (
  user_uid uuid        primary key,
  -- PHC string, with the parameters that it was made with.
  hash     text        not null,
  set_at   timestamptz not null default now()
);

create table access.setup_code (
  code_id    uuid        primary key,
  user_uid   uuid        not null,
  code_hash  bytea       not null,
  expires_at timestamptz not null
);

create index setup_code_user on access.setup_code (user_uid);

-- Attempts to log in. Unlogged: after a crash of the database counting begins anew, and that is all.
create unlogged table access.attempt (
  -- Of an account only a hash: people type passwords there by mistake.
  key           text        primary key,
  count         integer     not null,
  last_at       timestamptz not null,
  blocked_until timestamptz
);

create index attempt_age on access.attempt (last_at);

grant select, insert, update, delete on access.token, access.password, access.setup_code, access.attempt to mcpd_app;
