import { DomainError, type Kind, type Role, type Verb } from '@mcpctl/contracts'
import type { Resource } from '@mcpctl/resource'

export const methods: Record<Verb, string> = {
  get: 'GET',
  list: 'GET',
  create: 'POST',
  update: 'PUT',
  delete: 'DELETE',
}

const words: Record<Role, string> = { view: 'get', create: 'create', edit: 'update', delete: 'delete', run: 'run' }

const refused = ({ plural, verbs }: Kind, verb: string): DomainError =>
  new DomainError('MethodNotAllowed', `${plural} do not support ${verb}; they support ${verbs.join(', ')}`, {
    kind: plural,
    allow: [...new Set(verbs.map((offered) => methods[offered]))],
  })

/** Throws MethodNotAllowed for a role that means nothing on the kind. */
export const refuseVerb = (kind: Kind, role: Role): never => {
  throw refused(kind, words[role])
}

/** The resource, if it offers the verb. Throws MethodNotAllowed. */
export const offered = (resource: Resource, verb: Verb): Resource => {
  if (resource.kind.verbs.includes(verb)) return resource
  throw refused(resource.kind, verb)
}
