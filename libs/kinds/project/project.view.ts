import type { View, ViewObject } from '@mcpctl/read-model'
import type { ProjectEvent, ProjectMember } from './project.decider'

export type ProjectObject = ViewObject<
  { description?: string; servers: string[]; members: ProjectMember[] },
  { endpoint: string }
>

/** What `get` and `describe` show of a project. */
export const projectView: View<ProjectObject, ProjectEvent> = (project, event) => {
  if (event.type === 'ProjectCreated') {
    const { name, labels, annotations, ...spec } = event.data
    return { name, labels, annotations, spec, status: { endpoint: `/mcp/projects/${name}` } }
  }
  if (!project || event.type === 'ProjectDeleted') return undefined
  if (event.type === 'ProjectLabelled') return { ...project, ...event.data }
  return { ...project, spec: specAfter(project.spec, event) }
}

const specAfter = (
  spec: ProjectObject['spec'],
  event: Exclude<ProjectEvent, { type: 'ProjectCreated' | 'ProjectDeleted' | 'ProjectLabelled' }>,
): ProjectObject['spec'] => {
  switch (event.type) {
    case 'ProjectDescribed': {
      const { description: _, ...rest } = spec
      return event.data.description === '' ? rest : { ...rest, description: event.data.description }
    }
    case 'ServerAttached':
      return { ...spec, servers: [...spec.servers, event.data.server] }
    case 'ServerDetached':
      return { ...spec, servers: spec.servers.filter((server) => server !== event.data.server) }
    case 'MemberAdded':
      return { ...spec, members: [...spec.members, event.data] }
    case 'MemberRemoved': {
      const { kind, name } = event.data
      return { ...spec, members: spec.members.filter((member) => member.kind !== kind || member.name !== name) }
    }
  }
}

export const projectReferences = (project: ProjectObject) =>
  project.spec.servers.map((name) => ({ kind: 'Server', name }))
