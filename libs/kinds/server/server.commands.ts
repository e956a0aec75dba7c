import { Injectable } from '@nestjs/common'
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs'
import { invalid } from '@mcpctl/contracts'
import { ApplyRequest, decideOn, DeleteRequest, handlerFor, type CommandContext } from '@mcpctl/resource'
import { Drivers, type InstanceTemplate } from '@mcpctl/runtime'
import { serverDecider, type ServerEvent, type ServerObservation } from './server.decider'
import type { Resources, ServerSpec } from './server.schema'

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

/** The part of a spec that makes instances, defaults filled in. */
export const templateOf = (spec: ServerSpec): InstanceTemplate => {
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
    env: spec.env.map((entry) => ({ name: entry.name, value: entry.value })),
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
    const template = templateOf(spec)
    const errors = this.drivers.unsupported(template)
    if (errors.length > 0) throw invalid('Server', name, errors)
    const desired = { replicas: spec.replicas, template }
    return decideOn(serverDecider, request, { type: 'Apply', mode, identity: { name, labels, annotations }, desired })
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
