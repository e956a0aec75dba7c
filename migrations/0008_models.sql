-- A read model can be folded anew beside the one that is read: its tables carry the version of the model in their names, and
-- readers and the projector use views, which a rebuild points at the new tables when these have caught up.

alter table rm.object rename to object_1;
alter table rm.reference rename to reference_1;

create view rm.object as
select kind, uid, name, labels, from_position, to_position, object from rm.object_1;

create view rm.reference as
select from_kind, from_uid, from_name, to_kind, to_name from rm.reference_1;

-- Who rebuilds replaces them.
alter view rm.object owner to mcpd_app;
alter view rm.reference owner to mcpd_app;

alter table es.checkpoint
  -- How fast the version that is being built comes on, as its builder last measured it.
  add column events_per_second integer;

-- One version at a time is built.
create unique index checkpoint_building on es.checkpoint (processor) where not active;
