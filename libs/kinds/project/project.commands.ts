import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs'
import { ApplyRequest, decideOn, DeleteRequest, handlerFor } from '@mcpctl/resource'
import { projectDecider, type ProjectEvent } from './project.decider'
import type { ProjectSpec } from './project.schema'

export class ApplyProject extends ApplyRequest<ProjectSpec> {}
export class DeleteProject extends DeleteRequest {}

/** Gathers which of the servers named exist, those of the same request included. */
@CommandHandler(ApplyProject)
export class ApplyProjectHandler implements ICommandHandler<ApplyProject> {
  async execute(request: ApplyProject): Promise<ProjectEvent[]> {
    const { name, labels, annotations, spec, mode } = request.desired
    const { unit, mayRun } = request.context
    const owners = await Promise.all(spec.servers.map((server) => unit.owner('name', `server/${server}`)))
    return decideOn(projectDecider, request, {
      type: 'Apply',
      mode,
      identity: { name, labels, annotations },
      desired: {
        ...(spec.description !== undefined && spec.description !== '' && { description: spec.description }),
        servers: spec.servers,
        members: spec.members.map((member) => ({ kind: member.kind, name: member.name })),
      },
      unknownServers: spec.servers.filter((_, index) => owners[index] === undefined),
      forbiddenServers: spec.servers.filter((server) => mayRun?.('servers', server) === false),
    })
  }
}

export const projectHandlers = [
  ApplyProjectHandler,
  handlerFor(DeleteProject, projectDecider, () => ({ type: 'Delete' })),
]
