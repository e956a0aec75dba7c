import { defineKind } from '@mcpctl/contracts'
import type { InstanceTemplate, SecretFile, SecretKeyRef } from '@mcpctl/runtime'

export const serverKind = defineKind({
  name: 'Server',
  singular: 'server',
  plural: 'servers',
  shortNames: ['srv'],
  verbs: ['get', 'list', 'create', 'update', 'delete'],
  roles: ['view', 'create', 'edit', 'delete', 'run'],
  applyOrder: 40,
  fields: [
    'image',
    'package',
    'url',
    'transport',
    'port',
    'path',
    'command',
    'args',
    'env',
    'secretFiles',
    'replicas',
    'resources',
    'network',
    'strategy',
    'secretRotation',
  ],
  columns: [
    { header: 'READY', path: '{status.readyReplicas}/{spec.replicas}' },
    { header: 'UP-TO-DATE', path: 'status.updatedReplicas' },
    { header: 'AVAILABLE', path: 'status.availableReplicas' },
    { header: 'STATUS', path: 'status.phase' },
    { header: 'TRANSPORT', path: 'spec.transport', wide: true },
    { header: 'SOURCE', path: 'status.source', wide: true },
    { header: 'TOOLS', path: 'status.tools', wide: true },
    { header: 'PROJECTS', path: 'referencedBy.projects', as: 'list', wide: true },
    { header: 'PROTOCOL', path: 'status.protocol', wide: true },
    { header: 'ISOLATED', path: 'status.isolated', as: 'yesno', wide: true },
  ],
})

/** What holds where a server's spec does not say: one more first, and no old instance goes before a new one is available. */
export const serverDefaults = {
  strategy: { maxSurge: 1, maxUnavailable: 0, minReadySeconds: 0, progressDeadlineSeconds: 600 },
  secretRotation: 'Restart',
} as const

/** The part of a server's spec that takes values from secrets. */
export type SecretReferences = Pick<InstanceTemplate, 'env' | 'secretFiles'>

/** A file's value, as a variable would name it. */
export const referenceOf = ({ secret, key, version, optional }: SecretFile): SecretKeyRef => ({
  name: secret,
  key,
  ...(version !== undefined && { version }),
  ...(optional !== undefined && { optional }),
})

/** Every reference to a secret, in the order of a start. */
export const referencesOf = ({ env, secretFiles = [] }: SecretReferences): SecretKeyRef[] => [
  ...env.flatMap((entry) => ('valueFrom' in entry ? [entry.valueFrom.secretRef] : [])),
  ...secretFiles.map(referenceOf),
]

/** The versions of a secret that are named by number, and so must not go. */
export const pinnedVersions = (references: SecretReferences, secret: string): number[] =>
  referencesOf(references).flatMap(({ name, version }) => (name === secret && version !== undefined ? [version] : []))
