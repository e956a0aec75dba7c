import { DomainError, didYouMean } from '@mcpctl/contracts'
import type { Role } from '@mcpctl/contracts'

export const roles = ['view', 'create', 'edit', 'delete', 'run'] as const satisfies readonly Role[]

/** What may be allowed besides the roles. A closed list. */
export const actions = [
  'logs',
  'backup',
  'restore',
  'audit',
  'reveal',
  'impersonate',
  'grant',
  'tokens',
  'rotate-keys',
  'rebuild',
] as const
export type Action = (typeof actions)[number]

/** Which roles mean anything on which kind, by the kind's plural. `edit` implies `view` on the same scope and nothing else. */
export const rolesOfKind = {
  servers: ['view', 'create', 'edit', 'delete', 'run'],
  instances: ['view', 'delete'],
  secrets: ['view', 'create', 'edit', 'delete', 'run'],
  projects: ['view', 'create', 'edit', 'delete', 'run'],
  users: ['view', 'create', 'edit', 'delete'],
  groups: ['view', 'create', 'edit', 'delete'],
  rbac: ['view', 'create', 'edit', 'delete'],
} as const satisfies Record<string, readonly Role[]>
export type AccessKind = keyof typeof rolesOfKind

/** Whether rights may be about such a kind, by its plural. */
export const isAccessKind = (plural: string): plural is AccessKind => Object.hasOwn(rolesOfKind, plural)

/** A role on all objects of a kind, or on one by its name. `*` stands for every kind, future ones included. */
export interface RoleEntry {
  role: Role
  resource: string
  name?: string
}

/** An action, everywhere or on a kind or on one object. `*` stands for every action. */
export interface OperationEntry {
  action: string
  resource?: string
  name?: string
}

export type Entry = RoleEntry | OperationEntry

export const isRole = (entry: Entry): entry is RoleEntry => 'role' in entry

/** `edit:servers:github`, `op logs:servers/github`: how people write an entry. */
export const entryText = (entry: Entry): string => {
  if (isRole(entry)) return [entry.role, entry.resource, ...(entry.name === undefined ? [] : [entry.name])].join(':')
  const place = [entry.resource, entry.name].filter((part) => part !== undefined).join('/')
  return `op ${entry.action}${place === '' ? '' : `:${place}`}`
}

export const sameEntry = (a: Entry, b: Entry): boolean => entryText(a) === entryText(b)

/** What is wrong with a role on a kind; undefined when it means something. */
export const roleProblem = ({ role, resource, name }: RoleEntry): string | undefined => {
  if (!roles.includes(role)) return `unknown role "${role}"${didYouMean(role, roles)} (roles are ${roles.join(', ')})`
  if (name?.includes('*')) return 'a name is exact; "*" may stand for the whole resource only'
  if (resource === '*') return name === undefined ? undefined : 'a name needs a resource of its own, not "*"'
  const kinds = Object.keys(rolesOfKind)
  if (!isAccessKind(resource))
    return `unknown resource "${resource}"${didYouMean(resource, kinds)} (resources are ${kinds.join(', ')} and *)`
  const offered: readonly Role[] = rolesOfKind[resource]
  if (offered.includes(role)) return undefined
  return `"${role}" means nothing on ${resource}; roles there are ${offered.join(', ')}`
}

export const operationProblem = ({ action, resource, name }: OperationEntry): string | undefined => {
  if (action !== '*' && !(actions as readonly string[]).includes(action))
    return `unknown operation "${action}"${didYouMean(action, actions)} (operations are ${actions.join(', ')} and *)`
  if (resource !== undefined && !isAccessKind(resource)) {
    const kinds = Object.keys(rolesOfKind)
    return `unknown resource "${resource}"${didYouMean(resource, kinds)} (resources are ${kinds.join(', ')})`
  }
  if (name?.includes('*')) return 'a name is exact; leave it out to mean all'
  return name !== undefined && resource === undefined ? 'a name needs a resource' : undefined
}

export const entryProblem = (entry: Entry): string | undefined =>
  isRole(entry) ? roleProblem(entry) : operationProblem(entry)

/** Reads `edit:servers:github`. Throws BadRequest with what is wrong. */
export const parseRole = (text: string): RoleEntry => {
  const [role = '', resource = '', ...rest] = text.split(':')
  const name = rest.length > 0 ? rest.join(':') : undefined
  const entry = { role: role as Role, resource, ...(name !== undefined && { name }) }
  return checked(entry, text, 'role:resource[:name]')
}

/** Reads `logs`, `logs:servers` and `logs:servers/github`. Throws BadRequest with what is wrong. */
export const parseOperation = (text: string): OperationEntry => {
  const [action = '', ...rest] = text.split(':')
  const place = rest.join(':')
  const [resource, ...names] = place === '' ? [] : place.split('/')
  const name = names.length > 0 ? names.join('/') : undefined
  const entry = { action, ...(resource !== undefined && { resource }), ...(name !== undefined && { name }) }
  return checked(entry, text, 'action[:resource[/name]]')
}

const checked = <E extends Entry>(entry: E, text: string, form: string): E => {
  const wrong = entry.name === '' ? 'the name is empty' : entryProblem(entry)
  if (wrong === undefined) return entry
  throw new DomainError('BadRequest', `"${text}" is no ${form}: ${wrong}`)
}

/** The object that an entry names, if it names one. */
export const objectOf = ({ resource, name }: Pick<Entry, 'resource' | 'name'>): string | undefined =>
  resource === undefined || name === undefined ? undefined : `${resource}/${name}`
