-- States of long streams, so that a decision need not fold all of their past. Disposable: whatever does not fit is folded again.

create table es.snapshot (
  stream_id text collate "C" primary key,
  -- Which code folded it.
  fold text not null,
  version bigint not null,
  -- Of the event at that version: the snapshot belongs to this past and no other.
  hash bytea not null,
  -- By type of event: the position of the last one.
  positions json not null,
  -- json, not jsonb: a state comes back with its keys in the order in which it was folded.
  state json not null
);

grant select, insert, update, delete on es.snapshot to mcpd_app;
