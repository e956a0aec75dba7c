import { createHash } from 'node:crypto'
import type { ConditionReason, ResourceObject } from '@mcpctl/contracts'
import type { ConnectionState } from '@mcpctl/gateway'
import type { SecretHead } from '@mcpctl/resource'
import type { DriverName, InstanceTemplate, Unit } from '@mcpctl/runtime'
import canonicalize from 'canonicalize'
import type { InstanceSpec, InstanceStatus, SecretVersions } from '../instance/instance.kind'
import { missingIn, secretNames } from './env-resolver.plan'
import { defaultStrategy } from './rollout.plan'
import type { Rotation } from './secret-rotation.plan'
import { changesOf, newestOf, resolveVersions } from './secret-versions.plan'
import type { RolloutStrategy, SecretRotation, ServerReport } from './server.decider'
import type { PlannedInstance, PlannedServer } from './server.plan'

/** An instance object with its types. */
export type InstanceRow = ResourceObject & {
  spec: InstanceSpec & Record<string, unknown>
  status: InstanceStatus & Record<string, unknown>
}

/** What makes instances alike: their template, and the versions of secrets that they were given. Part of their names. */
export const hashOf = (template: InstanceTemplate, secrets: SecretVersions = {}): string =>
  createHash('sha256')
    .update(canonicalize(template) ?? '')
    .update(Object.keys(secrets).length > 0 ? (canonicalize(secrets) ?? '') : '')
    .digest('hex')
    .slice(0, 16)

export const templateOfServer = ({ spec }: ResourceObject): InstanceTemplate => {
  const { replicas: _, strategy: _strategy, secretRotation: _rotation, ...template } = spec
  return template as unknown as InstanceTemplate
}

/** What a server's object says besides its template. */
type ServerRow = ResourceObject & {
  spec: { replicas: number; strategy?: Partial<RolloutStrategy>; secretRotation?: SecretRotation }
  status: Partial<ServerReport>
}

/** What stands around a server when it is looked at. */
export interface Around {
  driver: { name: DriverName; isolated: boolean }
  instances: readonly InstanceRow[]
  /** The secrets that its template names, as far as there are any. */
  heads: ReadonlyMap<string, Omit<SecretHead, 'changedAt'>>
  settleMs: number
}

export const plannedServer = (object: ResourceObject, around: Around): PlannedServer => {
  const { metadata, spec, status } = object as ServerRow
  const current = status.observedGeneration === metadata.generation
  return {
    generation: metadata.generation,
    replicas: spec.replicas,
    strategy: { ...defaultStrategy, ...spec.strategy },
    ...revisionOf(object as ServerRow, around),
    ...(current && status.rollout && { progress: status.rollout }),
    deleting: metadata.deletionTimestamp !== undefined,
    driver: around.driver.name,
    isolated: around.driver.isolated,
  }
}

/** What new instances are made of, and what newer versions of secrets there are. */
const revisionOf = (
  server: ServerRow,
  around: Around,
): Pick<PlannedServer, 'templateHash' | 'secrets' | 'usesSecrets' | 'missing' | 'rotation'> => {
  const template = templateOfServer(server)
  const resolved = resolveVersions(template, around.heads)
  const given = newestOf(givenTo(around.instances, hashOf(template)), resolved)
  const secrets = given ?? resolved
  const change = given && changesOf(given, resolved)
  return {
    templateHash: hashOf(template, secrets),
    secrets,
    usesSecrets: secretNames(template).length > 0,
    missing: missingIn(template, around.heads),
    ...(change !== undefined &&
      server.metadata.deletionTimestamp === undefined && {
        rotation: rotationOf(server, { template, secrets: { ...given, ...resolved }, change, ...around }),
      }),
  }
}

/** What the instances of a template that are to stay were given. */
const givenTo = (instances: readonly InstanceRow[], template: string): SecretVersions[] =>
  instances
    .filter(({ metadata, spec }) => metadata.deletionTimestamp === undefined && hashOf(spec.template) === template)
    .map(({ spec }) => spec.secrets ?? {})

const rotationOf = (
  { spec, status }: ServerRow,
  {
    template,
    secrets,
    change,
    settleMs,
  }: { template: InstanceTemplate; change: string } & Pick<Rotation, 'secrets'> & Pick<Around, 'settleMs'>,
): Rotation => {
  const stale = status.conditions?.find(({ type }) => type === 'SecretStale')
  return {
    templateHash: hashOf(template, secrets),
    secrets,
    change,
    ...(stale?.status === 'True' && { since: Date.parse(stale.lastTransitionTime) }),
    ...(spec.secretRotation !== 'Manual' && { settleMs }),
  }
}

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

const knownOf = (status: InstanceStatus): Partial<PlannedInstance> => {
  const { handle, protocol, tools, lastFailure, nextStartAt, readySince } = status
  return {
    ...(handle !== undefined && { handle }),
    ...(protocol !== undefined && { protocol }),
    ...(tools !== undefined && { tools }),
    ...(lastFailure && { failure: lastFailure }),
    ...(nextStartAt !== undefined && { nextStartAt: Date.parse(nextStartAt) }),
    ...(readySince !== undefined && { readySince: Date.parse(readySince) }),
  }
}

/** One instance as the plan sees it. `unit` is undefined when the driver has none, `unknown` when it cannot be asked; `template` is the server's, as a hash. */
export const plannedInstance = (
  row: InstanceRow,
  seen: { unit: Unit | 'unknown' | undefined; connection: ConnectionState; busy: boolean; template: string },
): PlannedInstance => {
  const { spec, status, metadata } = row
  const [condition] = status.conditions
  return {
    uid: metadata.uid,
    name: metadata.name,
    slot: spec.slot,
    templateHash: spec.templateHash,
    secrets: spec.secrets ?? {},
    alike: hashOf(spec.template) === seen.template,
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
