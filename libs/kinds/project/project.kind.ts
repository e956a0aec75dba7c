import { defineKind } from '@mcpctl/contracts'

export const projectKind = defineKind({
  name: 'Project',
  singular: 'project',
  plural: 'projects',
  shortNames: ['proj'],
  verbs: ['get', 'list', 'create', 'update', 'delete'],
  roles: ['view', 'create', 'edit', 'delete', 'run'],
  applyOrder: 50,
  fields: ['description', 'servers', 'members'],
  columns: [
    { header: 'SERVERS', path: 'spec.servers', as: 'list' },
    { header: 'MEMBERS', path: 'spec.members', as: 'count' },
    { header: 'ENDPOINT', path: 'status.endpoint', wide: true },
  ],
})
