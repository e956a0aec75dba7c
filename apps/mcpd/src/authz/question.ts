import { actions, entryProblem, isAccessKind, roles, type Action, type Ask, type Entry } from '@mcpctl/access'
import { didYouMean, DomainError, findKind, type AccessQuestion, type Kind, type Role } from '@mcpctl/contracts'

/** What a verb of the command line or of the API needs. */
const roleOfVerb: Record<string, Role> = {
  get: 'view',
  list: 'view',
  watch: 'view',
  describe: 'view',
  history: 'view',
  diff: 'view',
  events: 'view',
  wait: 'view',
  update: 'edit',
  patch: 'edit',
  replace: 'edit',
  apply: 'edit',
  scale: 'edit',
  rollout: 'edit',
  label: 'edit',
  annotate: 'edit',
  prune: 'delete',
  call: 'run',
  use: 'run',
  connect: 'run',
}

const fields = ['verb', 'role', 'action', 'kind', 'name', 'user', 'at'] as const

const faulty = (field: string, message: string): DomainError =>
  new DomainError('Invalid', message, { errors: [{ pointer: `/${field}`, code: 'invalid', message }] })

/** Reads a question as it was sent. Throws BadRequest and Invalid with what is wrong. */
export const questionOf = (body: unknown): AccessQuestion => {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new DomainError('BadRequest', 'a question is an object, for example {"verb": "edit", "kind": "servers"}')
  for (const [field, value] of Object.entries(body)) {
    if (!(fields as readonly string[]).includes(field))
      throw faulty(field, `unknown field${didYouMean(field, fields) || `; known are ${fields.join(', ')}`}`)
    if (typeof value !== 'string' || value === '' || value.length > 253) throw faulty(field, 'must be a text')
  }
  return body
}

/** The role or action that a question is about, in the terms of rights. Throws Invalid for what means nothing, with a hint. */
export const askOf = (question: AccessQuestion, kinds: readonly Kind[]): Ask => {
  const kind = question.kind === undefined ? undefined : pluralOf(question.kind, kinds)
  const { name } = question
  const what = wanted(question)
  if ('action' in what) {
    check({ ...what, ...(kind !== undefined && { resource: kind }), ...(name !== undefined && { name }) })
    return { ...what, ...(kind !== undefined && { kind }), ...(name !== undefined && { name }) }
  }
  if (kind === undefined) throw faulty('kind', `"${what.role}" needs a kind, for example servers`)
  check({ ...what, resource: kind, ...(name !== undefined && { name }) })
  return { ...what, kind, ...(name !== undefined && { name }) }
}

type Wanted = { role: Role } | { action: Action }

const ofRoles = Object.fromEntries(roles.map((role) => [role, { role }]))
const ofActions = Object.fromEntries([...actions, '*' as Action].map((action) => [action, { action }]))
const ofVerbs = Object.fromEntries(Object.entries(roleOfVerb).map(([verb, role]) => [verb, { role }]))

/** What each word stands for, by the field that it is sent in. */
const meanings: Record<'verb' | 'role' | 'action', Record<string, Wanted>> = {
  verb: { ...ofRoles, ...ofVerbs, ...ofActions },
  role: ofRoles,
  action: ofActions,
}

const wanted = (question: AccessQuestion): Wanted => {
  const [field, ...others] = (['verb', 'role', 'action'] as const).filter((each) => question[each] !== undefined)
  if (field === undefined || others.length > 0)
    throw faulty('verb', 'needs a verb, a role or an action, and one of them only')
  const word = question[field]?.toLowerCase() ?? ''
  const known = Object.keys(meanings[field])
  const meant = Object.hasOwn(meanings[field], word) ? meanings[field][word] : undefined
  if (meant) return meant
  throw faulty(field, `unknown ${field} "${word}"${didYouMean(word, known)}; known are ${known.join(', ')}`)
}

const check = (entry: Entry): void => {
  const wrong = entryProblem(entry)
  if (wrong !== undefined) throw faulty('kind', wrong)
}

/** Any word for a kind as its plural; an unknown word stays as it is and is refused with the others. */
const pluralOf = (word: string, kinds: readonly Kind[]): string => {
  if (word === '*') return word
  const plural = findKind(kinds, word)?.plural ?? word.toLowerCase()
  return isAccessKind(plural) || !isAccessKind(`${plural}s`) ? plural : `${plural}s`
}
