import { defineKind } from '@mcpctl/contracts'

export const rbacKind = defineKind({
  name: 'RbacBinding',
  singular: 'rbac',
  plural: 'rbac',
  shortNames: ['rbacs', 'rbacbinding', 'rbacbindings'],
  verbs: ['get', 'list', 'create', 'update', 'delete'],
  roles: ['view', 'create', 'edit', 'delete'],
  applyOrder: 60,
  fields: ['subjects', 'bindings', 'operations'],
  columns: [
    { header: 'SUBJECTS', path: 'status.grants.subjects', as: 'list' },
    { header: 'BINDINGS', path: 'status.grants.bindings', as: 'list' },
    { header: 'OPERATIONS', path: 'status.grants.operations', as: 'list' },
    { header: 'DANGLING', path: 'status.dangling', as: 'list' },
    { header: 'CREATED-BY', path: 'metadata.createdBy', wide: true },
  ],
})
