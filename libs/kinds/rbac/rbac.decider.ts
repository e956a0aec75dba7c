import { alreadyExists, DomainError, invalid, jsonEqual, notFound, type FieldError } from '@mcpctl/contracts'
import type { Entry, Head, OperationEntry, RbacEvent as Recorded, RoleEntry, SubjectRef } from '@mcpctl/access'
import type { ClaimChange, Decider } from '@mcpctl/event-store'

type Naming = 'RbacCreated' | 'RbacDeleted'

/** What the log tells of a binding; the two events that take and release the name carry the claim. */
export type RbacEvent =
  (Extract<Recorded, { type: Naming }> & { claims: ClaimChange[] }) | Exclude<Recorded, { type: Naming }>

/** A subject as named in a request. Without `uid` nobody bears the name; `exists`: who has that uid bears it now. */
export interface NamedSubject {
  kind: SubjectRef['kind']
  name: string
  uid?: string
  exists: boolean
}

export interface ApplyRbacCommand {
  type: 'Apply'
  mode: 'create' | 'replace' | 'apply'
  identity: Head
  desired: { subjects: NamedSubject[]; bindings: RoleEntry[]; operations: OperationEntry[] }
}

export type RbacCommand = ApplyRbacCommand | { type: 'Delete' }

interface Granting {
  subjects: SubjectRef[]
  bindings: RoleEntry[]
  operations: OperationEntry[]
}

type Rbac = { status: 'absent' } | ({ status: 'present' } & Head & Granting)

const nameClaim = (op: ClaimChange['op'], name: string): ClaimChange => ({ op, scope: 'name', key: `rbac/${name}` })

const unknown = ({ kind, name, uid }: NamedSubject, index: number): FieldError => {
  const plural = kind === 'User' ? 'users' : 'groups'
  const which = uid === undefined ? '' : ` with uid ${uid}`
  const help =
    uid === undefined
      ? 'create it first or in the same apply'
      : 'leave the uid out to mean who bears the name now, or remove the subject'
  return {
    pointer: `/spec/subjects/${String(index)}`,
    code: 'not-found',
    message: `${plural} "${name}"${which} not found; ${help}`,
  }
}

const sameSubject = (a: Pick<SubjectRef, 'kind'> & { uid?: string }, b: SubjectRef): boolean =>
  a.kind === b.kind && a.uid === b.uid

/** Subjects by uid. One who is gone may stay, but nobody who is not there is bound: a name that is borne anew is somebody else. */
const resolved = ({ identity, desired }: ApplyRbacCommand, bound: SubjectRef[]): SubjectRef[] => {
  const errors: FieldError[] = []
  const found: SubjectRef[] = []
  desired.subjects.forEach((subject, index) => {
    const { kind, name, uid, exists } = subject
    const known = bound.find((each) => sameSubject(subject, each))
    if (uid === undefined || (!exists && !known)) errors.push(unknown(subject, index))
    else if (!found.some((each) => sameSubject(subject, each))) found.push(known ?? { kind, name, uid })
  })
  if (errors.length > 0) throw invalid('RbacBinding', identity.name, errors)
  return found
}

const has = <E extends Entry>(entries: E[], entry: E): boolean => entries.some((each) => jsonEqual(each, entry))

const granted = (before: Entry[], after: Entry[]): RbacEvent[] => [
  ...before.filter((entry) => !has(after, entry)).map((data) => ({ type: 'RbacEntryRevoked', data }) as const),
  ...after.filter((entry) => !has(before, entry)).map((data) => ({ type: 'RbacEntryGranted', data }) as const),
]

const bound = (before: SubjectRef[], after: SubjectRef[]): RbacEvent[] => [
  ...before
    .filter((subject) => !after.some((each) => sameSubject(subject, each)))
    .map((data) => ({ type: 'RbacSubjectRemoved', data }) as const),
  ...after
    .filter((subject) => !before.some((each) => sameSubject(subject, each)))
    .map((data) => ({ type: 'RbacSubjectAdded', data }) as const),
]

const apply = (command: ApplyRbacCommand, rbac: Rbac): RbacEvent[] => {
  const { mode, identity, desired } = command
  const { bindings, operations } = desired
  if (rbac.status === 'absent') {
    if (mode === 'replace') throw notFound('rbac', identity.name)
    const data = { ...identity, subjects: resolved(command, []), bindings, operations }
    return [{ type: 'RbacCreated', data, claims: [nameClaim('take', identity.name)] }]
  }
  if (mode === 'create') throw alreadyExists('rbac', identity.name)
  const { labels, annotations } = identity
  const labelled = !jsonEqual(rbac.labels, labels) || !jsonEqual(rbac.annotations, annotations)
  return [
    ...(labelled ? [{ type: 'RbacLabelled', data: { labels, annotations } } as const] : []),
    ...granted([...rbac.bindings, ...rbac.operations], [...bindings, ...operations]),
    ...bound(rbac.subjects, resolved(command, rbac.subjects)),
  ]
}

const decide = (command: RbacCommand, rbac: Rbac): RbacEvent[] => {
  if (command.type === 'Apply') return apply(command, rbac)
  if (rbac.status === 'absent') throw new DomainError('NotFound', 'no such binding')
  return [{ type: 'RbacDeleted', data: {}, claims: [nameClaim('release', rbac.name)] }]
}

const withEntry = (granting: Granting, entry: Entry): Partial<Granting> =>
  'role' in entry ? { bindings: [...granting.bindings, entry] } : { operations: [...granting.operations, entry] }

const withoutEntry = ({ bindings, operations }: Granting, entry: Entry): Partial<Granting> => ({
  bindings: bindings.filter((each) => !jsonEqual(each, entry)),
  operations: operations.filter((each) => !jsonEqual(each, entry)),
})

const evolve = (rbac: Rbac, event: RbacEvent): Rbac => {
  if (event.type === 'RbacCreated') return { ...event.data, status: 'present' }
  if (rbac.status === 'absent') return rbac
  switch (event.type) {
    case 'RbacLabelled':
      return { ...rbac, ...event.data }
    case 'RbacSubjectAdded':
      return { ...rbac, subjects: [...rbac.subjects, event.data] }
    case 'RbacSubjectRemoved':
      return { ...rbac, subjects: rbac.subjects.filter((subject) => !sameSubject(event.data, subject)) }
    case 'RbacEntryGranted':
      return { ...rbac, ...withEntry(rbac, event.data) }
    case 'RbacEntryRevoked':
      return { ...rbac, ...withoutEntry(rbac, event.data) }
    case 'RbacDeleted':
      return { status: 'absent' }
  }
}

/** A binding: who holds which roles on what and may do which operations. Each subject and entry comes and goes by an event of its own. */
export const rbacDecider: Decider<Rbac, RbacCommand, RbacEvent> = {
  category: 'rbac',
  events: {
    RbacCreated: [],
    RbacLabelled: [],
    RbacSubjectAdded: [],
    RbacSubjectRemoved: [],
    RbacEntryGranted: [],
    RbacEntryRevoked: [],
    RbacDeleted: [],
  },
  initial: { status: 'absent' },
  decide,
  evolve,
}
