import { defineKind } from '@mcpctl/contracts'

export const secretKind = defineKind({
  name: 'Secret',
  singular: 'secret',
  plural: 'secrets',
  shortNames: [],
  verbs: ['get', 'list', 'create', 'update', 'delete'],
  roles: ['view', 'create', 'edit', 'delete', 'run'],
  applyOrder: 30,
  fields: ['data', 'historyLimit'],
  columns: [
    { header: 'KEYS', path: 'status.keys', as: 'count' },
    { header: 'VERSION', path: 'status.version' },
    { header: 'USED-BY', path: 'referencedBy.servers', as: 'list' },
    { header: 'FINGERPRINT', path: 'status.fingerprint', wide: true },
    { header: 'ROTATED', path: 'status.rotatedAt', as: 'age', wide: true },
    { header: 'KEK', path: 'status.kek', as: 'short', wide: true },
  ],
})

/** Of a secret's versions, the current one included, this many can be opened unless told otherwise. */
export const defaultHistoryLimit = 5
