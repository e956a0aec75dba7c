import { createHash } from 'node:crypto'
import type { ConditionReason, ResourceObject } from '@mcpctl/contracts'
import type { ConnectionState } from '@mcpctl/gateway'
import type { DriverName, InstanceTemplate, Unit } from '@mcpctl/runtime'
import canonicalize from 'canonicalize'
import type { InstanceSpec, InstanceStatus } from '../instance/instance.kind'
import type { PlannedInstance, PlannedServer } from './server.plan'

/** An instance object with its types. */
export type InstanceRow = ResourceObject & {
  spec: InstanceSpec & Record<string, unknown>
  status: InstanceStatus & Record<string, unknown>
}

/** What makes instances of one template alike; part of their names. */
export const hashOf = (template: InstanceTemplate): string =>
  createHash('sha256')
    .update(canonicalize(template) ?? '')
    .digest('hex')
    .slice(0, 16)

export const templateOfServer = ({ spec }: ResourceObject): InstanceTemplate => {
  const { replicas: _, ...template } = spec
  return template as unknown as InstanceTemplate
}

export const plannedServer = (
  server: ResourceObject,
  driver: { name: DriverName; isolated: boolean },
): PlannedServer => ({
  generation: server.metadata.generation,
  replicas: server.spec['replicas'] as number,
  templateHash: hashOf(templateOfServer(server)),
  deleting: server.metadata.deletionTimestamp !== undefined,
  driver: driver.name,
  isolated: driver.isolated,
})

const stateOf = ({ metadata, status }: InstanceRow): PlannedInstance['state'] => {
  if (metadata.deletionTimestamp !== undefined) return 'draining'
  if (status.startedAt !== undefined) return 'running'
  return status.nextStartAt === undefined ? 'scheduled' : 'waiting'
}

const connectionOf = (state: ConnectionState): PlannedInstance['connection'] => {
  switch (state.phase) {
    case 'none':
    case 'ready':
      return { phase: state.phase }
    case 'connecting':
      return { phase: 'connecting', forMs: performance.now() - state.since }
    case 'failed':
      return { phase: 'failed', reason: state.reason, message: state.message }
  }
}

const knownOf = ({ handle, protocol, tools, lastFailure, nextStartAt }: InstanceStatus): Partial<PlannedInstance> => ({
  ...(handle !== undefined && { handle }),
  ...(protocol !== undefined && { protocol }),
  ...(tools !== undefined && { tools }),
  ...(lastFailure && { failure: lastFailure }),
  ...(nextStartAt !== undefined && { nextStartAt: Date.parse(nextStartAt) }),
})

/** One instance as the plan sees it. `unit` is undefined when the driver has none, `unknown` when it cannot be asked. */
export const plannedInstance = (
  row: InstanceRow,
  seen: { unit: Unit | 'unknown' | undefined; connection: ConnectionState; busy: boolean },
): PlannedInstance => {
  const { spec, status, metadata } = row
  const [condition] = status.conditions
  return {
    uid: metadata.uid,
    name: metadata.name,
    slot: spec.slot,
    templateHash: spec.templateHash,
    driver: spec.driver,
    isolated: status.isolated,
    state: stateOf(row),
    ready: status.ready,
    phase: status.phase,
    failures: status.failures,
    reason: (condition?.reason ?? 'Starting') satisfies ConditionReason,
    message: condition?.message ?? '',
    ...knownOf(status),
    unit: seen.unit ?? 'none',
    connection: connectionOf(seen.connection),
    busy: seen.busy,
  }
}
