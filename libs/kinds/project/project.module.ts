import { Module } from '@nestjs/common'
import { defineResource } from '@mcpctl/resource'
import { ApplyProject, DeleteProject, projectHandlers } from './project.commands'
import { projectDecider } from './project.decider'
import { projectKind } from './project.kind'
import { ProjectSpec } from './project.schema'
import { projectReferences, projectView } from './project.view'

const project = defineResource({
  kind: projectKind,
  schema: ProjectSpec,
  apply: ApplyProject,
  delete: DeleteProject,
  decider: projectDecider,
  view: projectView,
  references: projectReferences,
})

@Module({ providers: [...projectHandlers] })
export class ProjectModule {
  static readonly resource = project
}
