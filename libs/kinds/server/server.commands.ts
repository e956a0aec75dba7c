import { Injectable } from '@nestjs/common'
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs'
import { invalid } from '@mcpctl/contracts'
import { ApplyRequest, decideOn, DeleteRequest, handlerFor, type CommandContext } from '@mcpctl/resource'
import { Drivers, type EnvEntry, type InstanceTemplate, type SecretFile } from '@mcpctl/runtime'
import { secretNames } from './env-resolver.plan'
import { placeOf, type EnvVar, type SecretFileSpec } from './server-env.schema'
import {
  serverDecider,
  type RolloutStrategy,
  type ServerEvent,
  type ServerObservation,
  type ServerState,
} from './server.decider'
import type { Resources, ServerSpec, Strategy } from './server.schema'

export class ApplyServer extends ApplyRequest<ServerSpec> {}
export class DeleteServer extends DeleteRequest {}

export class ScaleServer {
  constructor(
    readonly uid: string,
    readonly replicas: number,
    readonly context: CommandContext,
  ) {}
}

/** Sent by the reconciler: what it saw. */
export class ReportServerStatus {
  constructor(
    readonly uid: string,
    readonly observation: ServerObservation,
    readonly context: CommandContext,
  ) {}
}

/** Sent by the reconciler once nothing of the server runs any more. */
export class ConfirmServerDeleted {
  constructor(
    readonly uid: string,
    readonly context: CommandContext,
  ) {}
}

const limitsOf = ({ memory, cpu, pids }: Resources): NonNullable<InstanceTemplate['resources']> => ({
  ...(memory !== undefined && { memory }),
  ...(cpu !== undefined && { cpu }),
  ...(pids !== undefined && { pids }),
})

/** A flag that is false says nothing: two ways of saying the same would be two templates. */
const pinOf = ({ version, optional }: { version?: number; optional?: boolean }) => ({
  ...(version !== undefined && { version }),
  ...(optional === true && { optional }),
})

const entryOf = ({ name, value = '', valueFrom }: EnvVar): EnvEntry => {
  if (!valueFrom) return { name, value }
  const { secretRef } = valueFrom
  return { name, valueFrom: { secretRef: { name: secretRef.name, key: secretRef.key, ...pinOf(secretRef) } } }
}

const fileOf = (file: SecretFileSpec): SecretFile => ({
  secret: file.secret,
  key: file.key,
  ...placeOf(file),
  ...pinOf(file),
})

const strategyOf = (strategy: Strategy): RolloutStrategy => {
  const { maxUnavailable, maxSurge, minReadySeconds, progressDeadlineSeconds } = strategy
  return { maxUnavailable, maxSurge, minReadySeconds, progressDeadlineSeconds }
}

const stateOf = (spec: ServerSpec): ServerState => ({
  replicas: spec.replicas,
  template: templateOf(spec),
  ...(spec.strategy && { strategy: strategyOf(spec.strategy) }),
  ...(spec.secretRotation && { secretRotation: spec.secretRotation }),
})

const inputsOf = ({ env, secretFiles }: ServerSpec): Pick<InstanceTemplate, 'env' | 'secretFiles'> => ({
  env: env.map(entryOf),
  ...(secretFiles.length > 0 && { secretFiles: secretFiles.map(fileOf) }),
})

/** The part of a spec that makes instances, defaults filled in. */
const templateOf = (spec: ServerSpec): InstanceTemplate => {
  const { image, package: name, url, port, path, resources, network } = spec
  return {
    ...(image !== undefined && { image }),
    ...(name !== undefined && { package: name }),
    ...(url !== undefined && { url }),
    transport: spec.transport ?? (url === undefined ? 'stdio' : 'http'),
    ...(port !== undefined && { port }),
    ...(path !== undefined && { path }),
    command: spec.command,
    args: spec.args,
    ...inputsOf(spec),
    ...(resources && { resources: limitsOf(resources) }),
    ...(network && { network: { mode: network.mode } }),
  }
}

/** Gathers what the driver that would run the server cannot enforce: such a field is refused, never accepted in silence. */
@Injectable()
@CommandHandler(ApplyServer)
export class ApplyServerHandler implements ICommandHandler<ApplyServer> {
  constructor(private readonly drivers: Drivers) {}

  async execute(request: ApplyServer): Promise<ServerEvent[]> {
    const { name, labels, annotations, spec, mode } = request.desired
    const { mayRun } = request.context
    const desired = stateOf(spec)
    const errors = this.drivers.unsupported(desired.template)
    if (errors.length > 0) throw invalid('Server', name, errors)
    const forbiddenSecrets = secretNames(desired.template).filter((secret) => mayRun?.('secrets', secret) === false)
    const identity = { name, labels, annotations }
    return decideOn(serverDecider, request, { type: 'Apply', mode, identity, desired, forbiddenSecrets })
  }
}

export const serverHandlers = [
  ApplyServerHandler,
  handlerFor(ScaleServer, serverDecider, ({ replicas }) => ({ type: 'Scale', replicas })),
  handlerFor(DeleteServer, serverDecider, ({ context }) => ({ type: 'Delete', at: context.now })),
  handlerFor(ReportServerStatus, serverDecider, ({ observation, context }) => ({
    type: 'ReportStatus',
    observation,
    at: context.now,
  })),
  handlerFor(ConfirmServerDeleted, serverDecider, () => ({ type: 'ConfirmDeleted' })),
]
