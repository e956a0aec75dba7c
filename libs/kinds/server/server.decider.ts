import { alreadyExists, DomainError, jsonEqual, notFound, type Condition } from '@mcpctl/contracts'
import type { ClaimChange, Decider } from '@mcpctl/event-store'
import type { InstanceTemplate } from '@mcpctl/runtime'
import type { Progress } from './rollout-progress.plan'

/** How instances of an old revision are replaced. Seconds and numbers of instances. */
export interface RolloutStrategy {
  maxUnavailable: number
  maxSurge: number
  minReadySeconds: number
  progressDeadlineSeconds: number
}

/** Whether a new version of a secret restarts the instances that use it. */
export type SecretRotation = 'Restart' | 'Manual'

/** What a server's spec says, defaults filled in; strategy and rotation are absent where nothing was said. */
export interface ServerState {
  replicas: number
  template: InstanceTemplate
  strategy?: RolloutStrategy
  secretRotation?: SecretRotation
}

export interface ServerIdentity {
  name: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

/** A condition before the decider has dated it. */
export type ObservedCondition = Omit<Condition, 'lastTransitionTime'>

/** What the reconciler last saw of the server's instances. */
export interface ServerObservation {
  phase: string
  replicas: number
  updatedReplicas: number
  readyReplicas: number
  availableReplicas: number
  observedGeneration: number
  driver?: string
  isolated?: boolean
  protocol?: string
  tools?: number
  /** Absent once the rollout is complete. */
  rollout?: Progress
  conditions: ObservedCondition[]
}

export type ServerReport = Omit<ServerObservation, 'conditions'> & { conditions: Condition[] }

export type ServerCommand =
  | {
      type: 'Apply'
      mode: 'create' | 'replace' | 'apply'
      identity: ServerIdentity
      desired: ServerState
      /** Of the secrets that the template names, those that the author may not use. */
      forbiddenSecrets: string[]
    }
  | { type: 'Scale'; replicas: number }
  | { type: 'Delete'; at: string }
  | { type: 'ReportStatus'; observation: ServerObservation; at: string }
  | { type: 'ConfirmDeleted' }

export type ServerEvent =
  | { type: 'ServerCreated'; data: ServerIdentity & ServerState; claims: ClaimChange[] }
  | { type: 'ServerTemplateChanged'; data: { template: InstanceTemplate } }
  | { type: 'ServerStrategyChanged'; data: { strategy?: RolloutStrategy } }
  | { type: 'SecretRotationChanged'; data: { secretRotation?: SecretRotation } }
  | { type: 'ReplicasChanged'; data: { from: number; replicas: number } }
  | { type: 'ServerLabelled'; data: { labels: Record<string, string>; annotations: Record<string, string> } }
  | { type: 'ServerStatusReported'; data: ServerReport }
  | { type: 'ServerDeletionRequested'; data: { at: string } }
  | { type: 'ServerDeleted'; data: object; claims: ClaimChange[] }

type Server =
  | { status: 'absent' }
  | (ServerIdentity & ServerState & { status: 'present' | 'deleting'; reported: ServerReport | undefined })

type Present = Exclude<Server, { status: 'absent' }>

/** The claim that makes a server's name unique while it exists. */
const nameClaim = (op: ClaimChange['op'], name: string): ClaimChange => ({ op, scope: 'name', key: `server/${name}` })

/** What a server runs sees every secret that it names, so its author must be allowed to use each; whether they exist is told to nobody here. */
const refuseForbidden = ({ forbiddenSecrets, identity }: Extract<ServerCommand, { type: 'Apply' }>): void => {
  if (forbiddenSecrets.length === 0) return
  const named = forbiddenSecrets.map((secret) => `"${secret}"`).join(', ')
  throw new DomainError(
    'SecretUse',
    `using a secret in a server needs role run on it; you may not run secrets ${named}`,
    {
      kind: 'servers',
      name: identity.name,
      asked: forbiddenSecrets.map((secret) => `run:secrets:${secret}`).join(' '),
    },
  )
}

const apply = (command: Extract<ServerCommand, { type: 'Apply' }>, server: Server): ServerEvent[] => {
  const { mode, identity, desired } = command
  if (server.status === 'absent') {
    if (mode === 'replace') throw notFound('servers', identity.name)
    refuseForbidden(command)
    return [{ type: 'ServerCreated', data: { ...identity, ...desired }, claims: [nameClaim('take', identity.name)] }]
  }
  if (mode === 'create') throw alreadyExists('servers', identity.name)
  const present = alive(server)
  if (!jsonEqual(present.template, desired.template)) refuseForbidden(command)
  return [...specChanges(present, desired), ...labelChanges(present, identity)]
}

const specChanges = (present: Present, desired: ServerState): ServerEvent[] => {
  const { template, strategy, secretRotation, replicas } = desired
  const events: ServerEvent[] = []
  if (!jsonEqual(present.template, template)) events.push({ type: 'ServerTemplateChanged', data: { template } })
  if (!jsonEqual(present.strategy, strategy))
    events.push({ type: 'ServerStrategyChanged', data: strategy ? { strategy } : {} })
  if (present.secretRotation !== secretRotation)
    events.push({ type: 'SecretRotationChanged', data: secretRotation ? { secretRotation } : {} })
  if (present.replicas !== replicas) events.push(replicasChanged(present, replicas))
  return events
}

const labelChanges = (present: Present, { labels, annotations }: ServerIdentity): ServerEvent[] =>
  jsonEqual(present.labels, labels) && jsonEqual(present.annotations, annotations)
    ? []
    : [{ type: 'ServerLabelled', data: { labels, annotations } }]

const replicasChanged = (server: Present, replicas: number): ServerEvent => ({
  type: 'ReplicasChanged',
  data: { from: server.replicas, replicas },
})

const existing = (server: Server): Present => {
  if (server.status === 'absent') throw new DomainError('NotFound', 'no such server')
  return server
}

const alive = (server: Server): Present => {
  const present = existing(server)
  if (present.status === 'deleting')
    throw new DomainError(
      'Conflict',
      `server "${present.name}" is being deleted; wait until it is gone, then apply again`,
      {
        kind: 'servers',
        name: present.name,
      },
    )
  return present
}

const report = (command: Extract<ServerCommand, { type: 'ReportStatus' }>, server: Server): ServerEvent[] => {
  if (server.status === 'absent') return []
  const conditions = command.observation.conditions.map((condition): Condition => {
    const before = server.reported?.conditions.find(({ type }) => type === condition.type)
    const lastTransitionTime = before?.status === condition.status ? before.lastTransitionTime : command.at
    return { ...condition, lastTransitionTime }
  })
  const next: ServerReport = { ...command.observation, conditions }
  return jsonEqual(next, server.reported) ? [] : [{ type: 'ServerStatusReported', data: next }]
}

const decide = (command: ServerCommand, server: Server): ServerEvent[] => {
  switch (command.type) {
    case 'Apply':
      return apply(command, server)
    case 'Scale': {
      const present = alive(server)
      return present.replicas === command.replicas ? [] : [replicasChanged(present, command.replicas)]
    }
    case 'Delete':
      return existing(server).status === 'deleting'
        ? []
        : [{ type: 'ServerDeletionRequested', data: { at: command.at } }]
    case 'ReportStatus':
      return report(command, server)
    case 'ConfirmDeleted':
      return server.status === 'deleting'
        ? [{ type: 'ServerDeleted', data: {}, claims: [nameClaim('release', server.name)] }]
        : []
  }
}

const withoutStrategy = ({ strategy: _, ...server }: Present): Present => server
const withoutRotation = ({ secretRotation: _, ...server }: Present): Present => server

const evolve = (server: Server, event: ServerEvent): Server => {
  if (event.type === 'ServerCreated') return { ...event.data, status: 'present', reported: undefined }
  if (server.status === 'absent') return server
  switch (event.type) {
    case 'ServerTemplateChanged':
    case 'ServerLabelled':
      return { ...server, ...event.data }
    case 'ServerStrategyChanged':
      return { ...withoutStrategy(server), ...event.data }
    case 'SecretRotationChanged':
      return { ...withoutRotation(server), ...event.data }
    case 'ReplicasChanged':
      return { ...server, replicas: event.data.replicas }
    case 'ServerStatusReported':
      return { ...server, reported: event.data }
    case 'ServerDeletionRequested':
      return { ...server, status: 'deleting' }
    case 'ServerDeleted':
      return { status: 'absent' }
  }
}

/** A server lives from ServerCreated to ServerDeleted; in between only its reconciler ends a deletion. */
export const serverDecider: Decider<Server, ServerCommand, ServerEvent> = {
  category: 'server',
  events: {
    ServerCreated: [],
    ServerTemplateChanged: [],
    ServerStrategyChanged: [],
    SecretRotationChanged: [],
    ReplicasChanged: [],
    ServerLabelled: [],
    ServerStatusReported: [],
    ServerDeletionRequested: [],
    ServerDeleted: [],
  },
  initial: { status: 'absent' },
  decide,
  evolve,
}
