import { alreadyExists, DomainError, invalid, jsonEqual, notFound } from '@mcpctl/contracts'
import type { ClaimChange, Decider } from '@mcpctl/event-store'

export interface ProjectMember {
  kind: 'User' | 'Group'
  name: string
}

export interface ProjectIdentity {
  name: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

export interface ProjectState {
  description?: string
  servers: string[]
  members: ProjectMember[]
}

/** Of the servers named: `unknownServers` bore no server when the command was handled, `forbiddenServers` may not be called by who asks. */
export type ProjectCommand =
  | {
      type: 'Apply'
      mode: 'create' | 'replace' | 'apply'
      identity: ProjectIdentity
      desired: ProjectState
      unknownServers: string[]
      forbiddenServers: string[]
    }
  | { type: 'Delete' }

export type ProjectEvent =
  | { type: 'ProjectCreated'; data: ProjectIdentity & ProjectState; claims: ClaimChange[] }
  | { type: 'ProjectDescribed'; data: { description: string } }
  | { type: 'ProjectLabelled'; data: { labels: Record<string, string>; annotations: Record<string, string> } }
  | { type: 'ServerAttached'; data: { server: string } }
  | { type: 'ServerDetached'; data: { server: string } }
  | { type: 'MemberAdded'; data: ProjectMember }
  | { type: 'MemberRemoved'; data: ProjectMember }
  | { type: 'ProjectDeleted'; data: object; claims: ClaimChange[] }

type Project = { status: 'absent' } | ({ status: 'present' } & ProjectIdentity & ProjectState)

const nameClaim = (op: ClaimChange['op'], name: string): ClaimChange => ({ op, scope: 'name', key: `project/${name}` })

const isMember = (members: ProjectMember[], { kind, name }: ProjectMember) =>
  members.some((member) => member.kind === kind && member.name === name)

/** Attaches and detaches so that the project holds what is desired; the order of attaching is the order shown. */
const changes = (before: ProjectState, after: ProjectState): ProjectEvent[] => [
  ...((after.description ?? '') === (before.description ?? '')
    ? []
    : [{ type: 'ProjectDescribed', data: { description: after.description ?? '' } } as const]),
  ...before.servers
    .filter((server) => !after.servers.includes(server))
    .map((server) => ({ type: 'ServerDetached', data: { server } }) as const),
  ...after.servers
    .filter((server) => !before.servers.includes(server))
    .map((server) => ({ type: 'ServerAttached', data: { server } }) as const),
  ...before.members
    .filter((member) => !isMember(after.members, member))
    .map((data) => ({ type: 'MemberRemoved', data }) as const),
  ...after.members
    .filter((member) => !isMember(before.members, member))
    .map((data) => ({ type: 'MemberAdded', data }) as const),
]

/**
 * Refuses to attach what its author may not call himself: through the project others could. Said before anything is said of existence, and of what
 * is attached already to nobody.
 */
const refuseForbidden = (command: Extract<ProjectCommand, { type: 'Apply' }>, attached: string[]): void => {
  const { desired, forbiddenServers, identity } = command
  const refused = desired.servers.filter((name) => forbiddenServers.includes(name) && !attached.includes(name))
  if (refused.length === 0) return
  const { name } = identity
  const named = refused.map((server) => `"${server}"`).join(', ')
  throw new DomainError('ServerUse', `attaching a server needs role run on it; you may not run servers ${named}`, {
    kind: 'projects',
    name,
    asked: refused.map((server) => `run:servers:${server}`).join(' '),
  })
}

/** Refuses to attach what does not exist; a server that is attached already may have gone since. */
const refuseUnknown = (command: Extract<ProjectCommand, { type: 'Apply' }>, attached: string[]): void => {
  refuseForbidden(command, attached)
  const errors = command.unknownServers
    .filter((server) => !attached.includes(server))
    .map((server) => ({
      pointer: `/spec/servers/${String(command.desired.servers.indexOf(server))}`,
      code: 'not-found',
      message: `servers "${server}" not found; create it first or in the same apply`,
    }))
  if (errors.length > 0) throw invalid('Project', command.identity.name, errors)
}

const apply = (command: Extract<ProjectCommand, { type: 'Apply' }>, project: Project): ProjectEvent[] => {
  const { mode, identity, desired } = command
  if (project.status === 'absent') {
    if (mode === 'replace') throw notFound('projects', identity.name)
    refuseUnknown(command, [])
    return [{ type: 'ProjectCreated', data: { ...identity, ...desired }, claims: [nameClaim('take', identity.name)] }]
  }
  if (mode === 'create') throw alreadyExists('projects', identity.name)
  refuseUnknown(command, project.servers)
  const { labels, annotations } = identity
  const labelled = !jsonEqual(project.labels, labels) || !jsonEqual(project.annotations, annotations)
  return [
    ...(labelled ? [{ type: 'ProjectLabelled', data: { labels, annotations } } as const] : []),
    ...changes(project, desired),
  ]
}

const decide = (command: ProjectCommand, project: Project): ProjectEvent[] => {
  if (command.type === 'Apply') return apply(command, project)
  if (project.status === 'absent') throw new DomainError('NotFound', 'no such project')
  return [{ type: 'ProjectDeleted', data: {}, claims: [nameClaim('release', project.name)] }]
}

const evolve = (project: Project, event: ProjectEvent): Project => {
  if (event.type === 'ProjectCreated') return { ...event.data, status: 'present' }
  if (project.status === 'absent') return project
  switch (event.type) {
    case 'ProjectDescribed':
    case 'ProjectLabelled':
      return { ...project, ...event.data }
    case 'ServerAttached':
      return { ...project, servers: [...project.servers, event.data.server] }
    case 'ServerDetached':
      return { ...project, servers: project.servers.filter((server) => server !== event.data.server) }
    case 'MemberAdded':
      return { ...project, members: [...project.members, event.data] }
    case 'MemberRemoved':
      return { ...project, members: project.members.filter((member) => !isMember([event.data], member)) }
    case 'ProjectDeleted':
      return { status: 'absent' }
  }
}

/** A project is created with what it holds; afterwards each change of it is an event of its own. */
export const projectDecider: Decider<Project, ProjectCommand, ProjectEvent> = {
  category: 'project',
  events: {
    ProjectCreated: [],
    ProjectDescribed: [],
    ProjectLabelled: [],
    ServerAttached: [],
    ServerDetached: [],
    MemberAdded: [],
    MemberRemoved: [],
    ProjectDeleted: [],
  },
  initial: { status: 'absent' },
  decide,
  evolve,
}
