import type { ResourceObject } from '@mcpctl/contracts'

type Parts = { labels?: Record<string, string>; spec?: object; status?: object; uid?: string; ageSeconds?: number }

const metadata = (name: string, { labels = {}, uid, ageSeconds = 5 * 86_400 }: Parts) => ({
  name,
  uid: uid ?? `0190a000-0000-7000-8000-${Buffer.from(name).toString('hex').padEnd(12, '0').slice(0, 12)}`,
  labels,
  annotations: {},
  resourceVersion: '1.7',
  generation: 2,
  createdAt: new Date(Date.now() - ageSeconds * 1000).toISOString(),
  createdBy: 'admin',
})

export const condition = (type: string, status: string, reason: string, message = '') => ({
  type,
  status,
  reason,
  message,
  lastTransitionTime: new Date(Date.now() - 60_000).toISOString(),
  observedGeneration: 2,
})

export const server = (name: string, parts: Parts = {}): ResourceObject => ({
  kind: 'Server',
  metadata: metadata(name, parts),
  spec: {
    image: 'ghcr.io/team/server:1.2',
    transport: 'stdio',
    command: [],
    args: ['stdio'],
    env: [],
    replicas: 2,
    ...parts.spec,
  },
  status: {
    phase: 'Running',
    replicas: 2,
    updatedReplicas: 2,
    readyReplicas: 2,
    availableReplicas: 2,
    observedGeneration: 2,
    protocol: '2025-11-25',
    conditions: [condition('Available', 'True', 'MinimumReplicasAvailable', 'both copies answer')],
    ...parts.status,
  },
})

export const instance = (name: string, serverName: string, parts: Parts = {}): ResourceObject => ({
  kind: 'Instance',
  metadata: metadata(name, parts),
  spec: {
    server: serverName,
    slot: 0,
    templateHash: 'ab12',
    driver: 'docker',
    source: 'x',
    transport: 'stdio',
    ...parts.spec,
  },
  status: { phase: 'Running', ready: true, restarts: 0, conditions: [], ...parts.status },
})

export const project = (name: string, parts: Parts = {}): ResourceObject => ({
  kind: 'Project',
  metadata: metadata(name, parts),
  spec: { servers: ['github', 'files'], members: [{ kind: 'User', name: 'alice' }], ...parts.spec },
  status: {},
})

export const secret = (name: string, parts: Parts = {}): ResourceObject => ({
  kind: 'Secret',
  metadata: metadata(name, parts),
  spec: { data: { token: { keep: true }, pem: { keep: true } }, ...parts.spec },
  status: {
    version: 2,
    keys: ['token', 'pem'],
    fingerprint: '0badcafe',
    fingerprints: { token: 'aaaa1111', pem: 'bbbb2222' },
    rotatedAt: new Date(Date.now() - 3_600_000).toISOString(),
    versions: [
      { version: 1, at: '2026-01-01T00:00:00.000Z', keys: ['token'] },
      { version: 2, at: '2026-01-02T00:00:00.000Z', keys: ['token', 'pem'] },
    ],
    kek: '01234567-0000-7000-8000-000000000000',
    conditions: [],
    ...parts.status,
  },
  referencedBy: { servers: ['github'] },
})

export const user = (name: string, parts: Parts = {}): ResourceObject => ({
  kind: 'User',
  metadata: metadata(name, parts),
  spec: { type: 'human', enabled: true, ...parts.spec },
  status: { phase: 'Active', hasPassword: true, tokens: [], ...parts.status },
  referencedBy: { groups: ['dev'] },
})

export const group = (name: string, parts: Parts = {}): ResourceObject => ({
  kind: 'Group',
  metadata: metadata(name, parts),
  spec: { members: ['alice'], ...parts.spec },
  status: { members: [], ...parts.status },
})

export const rbac = (name: string, parts: Parts = {}): ResourceObject => ({
  kind: 'RbacBinding',
  metadata: metadata(name, parts),
  spec: {
    subjects: [
      { kind: 'Group', name: 'dev' },
      { kind: 'User', name: 'alice', uid: 'u-1' },
    ],
    bindings: [
      { role: 'view', resource: '*' },
      { role: 'edit', resource: 'servers', name: 'github' },
    ],
    operations: [{ action: 'reveal', resource: 'secrets', name: 'gh-token' }],
    ...parts.spec,
  },
  status: {
    grants: {
      subjects: ['Group:dev', 'User:alice'],
      bindings: ['view:*', 'edit:servers:github'],
      operations: ['reveal:secrets/gh-token'],
    },
    subjects: [],
    warnings: ['view:* holds for every kind, also for kinds to come'],
    dangling: ['User:alice'],
    ...parts.status,
  },
})
