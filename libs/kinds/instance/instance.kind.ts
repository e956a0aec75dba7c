import { defineKind, type Condition, type ConditionReason } from '@mcpctl/contracts'
import type { DriverName, InstanceTemplate } from '@mcpctl/runtime'

/** One running copy of a server. Made by reconciliation only: nobody creates or edits one. */
export const instanceKind = defineKind({
  name: 'Instance',
  singular: 'instance',
  plural: 'instances',
  shortNames: ['inst'],
  verbs: ['get', 'list', 'delete'],
  roles: ['view', 'delete'],
  fields: ['server', 'slot', 'templateHash', 'driver', 'source', 'transport', 'secrets'],
  columns: [
    { header: 'SERVER', path: 'spec.server' },
    { header: 'READY', path: 'status.ready', as: 'yesno' },
    { header: 'STATUS', path: 'status.phase' },
    { header: 'RESTARTS', path: 'status.restarts' },
    { header: 'DRIVER', path: 'spec.driver', wide: true },
    { header: 'HANDLE', path: 'status.handle', as: 'short', wide: true },
    { header: 'SOURCE', path: 'spec.source', wide: true },
    { header: 'TEMPLATE-HASH', path: 'spec.templateHash', wide: true },
    { header: 'PROTOCOL', path: 'status.protocol', wide: true },
    { header: 'ISOLATED', path: 'status.isolated', as: 'yesno', wide: true },
  ],
})

/** Which version of which secret, by the secret's name. The uid tells it from another one that had the name before. */
export type SecretVersions = Readonly<Record<string, { uid: string; version: number }>>

/** What an instance is from the moment it is scheduled. */
export interface InstanceIdentity {
  name: string
  server: { uid: string; name: string }
  slot: number
  templateHash: string
  template: InstanceTemplate
  /** What it starts with, each time; absent where the template names no secret that there is. */
  secrets?: SecretVersions
  driver: DriverName
  isolated: boolean
}

/** What the MCP handshake answered. Kept so that a session can be taken up again after a restart of mcpd. */
export interface Handshake {
  protocolVersion: string
  capabilities: Record<string, unknown>
  serverInfo: { name: string; version: string }
  instructions?: string
}

export interface ExitFacts {
  code: number | null
  signal: string | null
  oom: boolean
  reason: ConditionReason
  message: string
}

/** What the reconciler saw of an instance, or wants to become of it. */
export type InstanceObservation =
  | { type: 'ReportStarted'; handle: string; at: string }
  | { type: 'ReportStartFailure'; reason: ConditionReason; message: string; at: string }
  | { type: 'ReportReady'; handshake: Handshake; tools: number; at: string }
  | { type: 'ReportUnready'; reason: ConditionReason; message: string }
  | { type: 'ReportExit'; exit: ExitFacts; at: string }
  | { type: 'Drain'; reason: string }
  | { type: 'ConfirmStopped' }
  | { type: 'ReportOrphan'; handle: string }

export interface InstanceSpec {
  server: string
  serverUid: string
  slot: number
  templateHash: string
  driver: DriverName
  source: string
  transport: string
  template: InstanceTemplate
  secrets?: SecretVersions
}

export interface InstanceStatus {
  /** Pending, Starting, Running, Unready, Terminating, Unknown, or the reason of the last failure. */
  phase: string
  ready: boolean
  isolated: boolean
  restarts: number
  failures: number
  handle?: string
  startedAt?: string
  readySince?: string
  protocol?: string
  tools?: number
  handshake?: Handshake
  lastExit?: { code: number | null; signal: string | null; oom: boolean; at: string; reason: string; message: string }
  nextStartAt?: string
  /** Why it failed last; until it is ready again. */
  lastFailure?: { phase: string; reason: ConditionReason; message: string }
  conditions: Condition[]
}
