import { alreadyExists, DomainError, jsonEqual, notFound, type Condition } from '@mcpctl/contracts'
import type { ClaimChange, Decider } from '@mcpctl/event-store'
import type { InstanceTemplate } from '@mcpctl/runtime'

/** What a server's spec says, defaults filled in. */
export interface ServerState {
  replicas: number
  template: InstanceTemplate
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
  conditions: ObservedCondition[]
}

export type ServerReport = Omit<ServerObservation, 'conditions'> & { conditions: Condition[] }

export type ServerCommand =
  | { type: 'Apply'; mode: 'create' | 'replace' | 'apply'; identity: ServerIdentity; desired: ServerState }
  | { type: 'Scale'; replicas: number }
  | { type: 'Delete'; at: string }
  | { type: 'ReportStatus'; observation: ServerObservation; at: string }
  | { type: 'ConfirmDeleted' }

export type ServerEvent =
  | { type: 'ServerCreated'; data: ServerIdentity & ServerState; claims: ClaimChange[] }
  | { type: 'ServerTemplateChanged'; data: { template: InstanceTemplate } }
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

const apply = (command: Extract<ServerCommand, { type: 'Apply' }>, server: Server): ServerEvent[] => {
  const { mode, identity, desired } = command
  if (server.status === 'absent') {
    if (mode === 'replace') throw notFound('servers', identity.name)
    return [{ type: 'ServerCreated', data: { ...identity, ...desired }, claims: [nameClaim('take', identity.name)] }]
  }
  if (mode === 'create') throw alreadyExists('servers', identity.name)
  const present = alive(server)
  const events: ServerEvent[] = []
  if (!jsonEqual(present.template, desired.template))
    events.push({ type: 'ServerTemplateChanged', data: { template: desired.template } })
  if (present.replicas !== desired.replicas) events.push(replicasChanged(present, desired.replicas))
  const { labels, annotations } = identity
  if (!jsonEqual(present.labels, labels) || !jsonEqual(present.annotations, annotations))
    events.push({ type: 'ServerLabelled', data: { labels, annotations } })
  return events
}

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

const evolve = (server: Server, event: ServerEvent): Server => {
  if (event.type === 'ServerCreated') return { ...event.data, status: 'present', reported: undefined }
  if (server.status === 'absent') return server
  switch (event.type) {
    case 'ServerTemplateChanged':
    case 'ServerLabelled':
      return { ...server, ...event.data }
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
