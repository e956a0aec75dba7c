import { defineKind } from '@mcpctl/contracts'

export const groupKind = defineKind({
  name: 'Group',
  singular: 'group',
  plural: 'groups',
  shortNames: ['grp'],
  verbs: ['get', 'list', 'create', 'update', 'delete'],
  roles: ['view', 'create', 'edit', 'delete'],
  applyOrder: 20,
  fields: ['description', 'members'],
  columns: [
    { header: 'MEMBERS', path: 'spec.members', as: 'count' },
    { header: 'DANGLING', path: 'status.dangling', as: 'list', wide: true },
    { header: 'UID', path: 'metadata.uid', wide: true },
    { header: 'BINDINGS', path: 'referencedBy.rbac', as: 'list', wide: true },
  ],
})
