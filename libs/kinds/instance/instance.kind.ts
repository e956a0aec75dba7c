import { defineKind } from '@mcpctl/contracts'

/** One running copy of a server. Made by reconciliation only: nobody creates or edits one. */
export const instanceKind = defineKind({
  name: 'Instance',
  singular: 'instance',
  plural: 'instances',
  shortNames: ['inst'],
  verbs: ['get', 'list', 'delete'],
  roles: ['view', 'delete'],
  fields: ['server', 'slot', 'templateHash', 'driver', 'source', 'transport'],
  columns: [
    { header: 'SERVER', path: 'spec.server' },
    { header: 'READY', path: 'status.ready', as: 'yesno' },
    { header: 'STATUS', path: 'status.phase' },
    { header: 'RESTARTS', path: 'status.restarts' },
    { header: 'DRIVER', path: 'spec.driver', wide: true },
    { header: 'HANDLE', path: 'status.handle', wide: true },
    { header: 'SOURCE', path: 'spec.source', wide: true },
    { header: 'TEMPLATE-HASH', path: 'spec.templateHash', wide: true },
    { header: 'PROTOCOL', path: 'status.protocol', wide: true },
    { header: 'ISOLATED', path: 'status.isolated', as: 'yesno', wide: true },
  ],
})
