import { defineKind } from '@mcpctl/contracts'

export const userKind = defineKind({
  name: 'User',
  singular: 'user',
  plural: 'users',
  shortNames: [],
  verbs: ['get', 'list', 'create', 'update', 'delete'],
  roles: ['view', 'create', 'edit', 'delete'],
  applyOrder: 10,
  fields: ['type', 'displayName', 'email', 'enabled'],
  columns: [
    { header: 'TYPE', path: 'spec.type' },
    { header: 'STATUS', path: 'status.phase' },
    { header: 'GROUPS', path: 'referencedBy.groups', as: 'list' },
    { header: 'LAST-LOGIN', path: 'status.lastLogin', as: 'age' },
    { header: 'UID', path: 'metadata.uid', wide: true },
    { header: 'TOKENS', path: 'status.tokens', as: 'count', wide: true },
    { header: 'RBAC', path: 'referencedBy.rbac', as: 'list', wide: true },
  ],
})
