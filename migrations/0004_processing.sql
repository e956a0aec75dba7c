-- What processors need to move to a rebuilt model, to step over an event, and not to act twice.

alter table es.checkpoint
  -- The version whose tables are read. A version that is being built is not active yet.
  add column active boolean not null default true,
  -- Which code folded it. Other code on the same tables would make a mixture.
  add column fold text not null default '',
  -- Side effects fire for later positions only.
  add column live_from bigint not null default 0;

create unique index checkpoint_active on es.checkpoint (processor) where active;
grant delete on es.checkpoint to mcpd_app;

-- An event behind a parked one of the same stream is parked as well: a fold must not leave out an event and go on.
alter table es.parked
  add column stream_id text collate "C" not null default '',
  add column type text collate "C" not null default '',
  add column status text not null default 'parked' check (status in ('parked', 'skipped'));

create index parked_stream on es.parked (processor, model_version, stream_id);

-- Set by a restore: what happened before it has had its effects elsewhere.
alter table es.store add column live_from bigint not null default 0;
