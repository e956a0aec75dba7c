-- The read model of every kind: one versioned object table, and who refers to whom. Dropped and rebuilt from the log at will.

create table rm.object (
  kind          text   not null,
  uid           uuid   not null,
  name          text   not null,
  labels        jsonb  not null,
  from_position bigint not null,
  -- The position at which this version was superseded or the object went; null for the current version.
  to_position   bigint,
  -- json, not jsonb: the order of keys is for people.
  object        json   not null,
  primary key (uid, from_position)
);

create unique index object_current_uid on rm.object (uid) where to_position is null;
create unique index object_current_name on rm.object (kind, name) where to_position is null;
create index object_kind_name on rm.object (kind, name, from_position);
create index object_server on rm.object ((object #>> '{spec,serverUid}')) where to_position is null and kind = 'Instance';

create table rm.reference (
  from_kind text not null,
  from_uid  uuid not null,
  from_name text not null,
  to_kind   text not null,
  to_name   text not null,
  primary key (from_uid, to_kind, to_name)
);

create index reference_to on rm.reference (to_kind, to_name);

alter table rm.object owner to mcpd_app;
alter table rm.reference owner to mcpd_app;
