import type { Entry, OperationEntry, RoleEntry, SubjectRef } from '@mcpctl/access'
import type { ObjectJoins, View, ViewObject } from '@mcpctl/read-model'
import type { RbacEvent } from './rbac.decider'

/** With its uid when it is gone, so that whoever bears the name now is not taken for it. */
type ShownSubject = Pick<SubjectRef, 'kind' | 'name'> & { uid?: string }

interface RbacStatus {
  /** As the flags of `create rbac` write them. */
  grants: { subjects: string[]; bindings: string[]; operations: string[] }
  subjects: (SubjectRef & { state?: 'Bound' | 'Dangling' })[]
  /** The objects that entries name: such a grant holds for whatever bears the name, also later or again. */
  objects?: { resource: string; name: string; state: 'Bound' | 'Missing' }[]
  /** What should be granted with care. */
  warnings: string[]
  dangling?: string[]
}

export type RbacObject = ViewObject<
  { subjects: ShownSubject[]; bindings: RoleEntry[]; operations: OperationEntry[] },
  RbacStatus
>

/** What `get` and `describe` show of a binding. */
export const rbacView: View<RbacObject, RbacEvent> = (rbac, event) => {
  if (event.type === 'RbacCreated') {
    const { name, labels, annotations, subjects, bindings, operations } = event.data
    return { name, labels, annotations, ...granting(subjects, bindings, operations) }
  }
  if (!rbac || event.type === 'RbacDeleted') return undefined
  if (event.type === 'RbacLabelled') return { ...rbac, ...event.data }
  return { ...rbac, ...after(rbac, event) }
}

const after = (
  { spec: { bindings, operations }, status: { subjects } }: RbacObject,
  event: Exclude<RbacEvent, { type: 'RbacCreated' | 'RbacDeleted' | 'RbacLabelled' }>,
): Pick<RbacObject, 'spec' | 'status'> => {
  switch (event.type) {
    case 'RbacSubjectAdded':
      return granting([...subjects, event.data], bindings, operations)
    case 'RbacSubjectRemoved': {
      const { kind, uid } = event.data
      const others = subjects.filter((subject) => subject.kind !== kind || subject.uid !== uid)
      return granting(others, bindings, operations)
    }
    case 'RbacEntryGranted':
      return 'role' in event.data
        ? granting(subjects, [...bindings, event.data], operations)
        : granting(subjects, bindings, [...operations, event.data])
    case 'RbacEntryRevoked': {
      const isOther = (entry: Entry) => textOf(entry) !== textOf(event.data)
      return granting(subjects, bindings.filter(isOther), operations.filter(isOther))
    }
  }
}

const granting = (
  subjects: SubjectRef[],
  bindings: RoleEntry[],
  operations: OperationEntry[],
): Pick<RbacObject, 'spec' | 'status'> => ({
  spec: { subjects: subjects.map(({ kind, name }) => ({ kind, name })), bindings, operations },
  status: {
    grants: {
      subjects: subjects.map(subjectText),
      bindings: bindings.map(textOf),
      operations: operations.map(textOf),
    },
    subjects,
    warnings: [...bindings, ...operations].flatMap((entry) => warningOf(entry) ?? []),
  },
})

const subjectText = ({ kind, name }: Pick<SubjectRef, 'kind' | 'name'>): string => `${kind}:${name}`

const textOf = (entry: Entry): string => {
  if ('role' in entry) return [entry.role, entry.resource, entry.name].filter((part) => part !== undefined).join(':')
  const place = [entry.resource, entry.name].filter((part) => part !== undefined).join('/')
  return place === '' ? entry.action : `${entry.action}:${place}`
}

const warningOf = (entry: Entry): string | undefined => {
  if ('role' in entry)
    return entry.resource === '*' ? `${textOf(entry)} holds for every kind, also for kinds to come` : undefined
  switch (entry.action) {
    case '*':
      return `operation ${textOf(entry)} allows every operation, also those to come`
    case 'grant':
      return `operation ${textOf(entry)} lets its holders grant what they do not hold themselves`
    case 'impersonate':
      return entry.name === undefined
        ? `operation ${textOf(entry)} lets its holders act as anybody, administrators included`
        : `operation ${textOf(entry)} lets its holders act as ${entry.name}`
    default:
      return undefined
  }
}

export const rbacReferences = (rbac: RbacObject) => rbac.status.subjects.map(({ kind, uid }) => ({ kind, uid }))

/** Stands for everybody who is logged in: it is there without being created. */
const isBuiltIn = ({ name }: SubjectRef): boolean => name.startsWith('system:')

const named = ({ spec: { bindings, operations } }: RbacObject): Map<string, { resource: string; name: string }> =>
  new Map(
    [...bindings, ...operations].flatMap(({ resource, name }) =>
      resource === undefined || name === undefined ? [] : [[`${resource}/${name}`, { resource, name }]],
    ),
  )

/** By which names the object is there: rights on instances may name their server. */
const bearersOf = ({ resource, name }: { resource: string; name: string }): string[] =>
  [resource, ...(resource === 'instances' ? ['servers'] : [])].map((plural) => `${plural}/${name}`)

/** Subjects that were deleted since, and objects that are not there (yet), which the binding's own stream does not tell. */
export const rbacJoins: ObjectJoins<RbacObject> = {
  uids: ({ status }) => status.subjects.map(({ uid }) => uid),
  names: (rbac) => [...named(rbac).values()].flatMap(bearersOf),
  show: (rbac, existing) => {
    const { spec, status } = rbac
    const objects = [...named(rbac).values()].map((object) => {
      const isThere = bearersOf(object).some((bearer) => existing.has(bearer))
      return { ...object, state: isThere ? 'Bound' : 'Missing' }
    })
    const isBound = (subject: SubjectRef) => isBuiltIn(subject) || existing.has(subject.uid)
    const gone = status.subjects.filter((subject) => !isBound(subject))
    return {
      spec: {
        ...spec,
        subjects: status.subjects.map((subject) => {
          const { kind, name, uid } = subject
          return isBound(subject) ? { kind, name } : { kind, name, uid }
        }),
      },
      status: {
        ...status,
        subjects: status.subjects.map(({ kind, name, uid }) => {
          const state = isBound({ kind, name, uid }) ? 'Bound' : 'Dangling'
          return { kind, name, uid, state }
        }),
        ...(objects.length > 0 && { objects }),
        ...(gone.length > 0 && { dangling: gone.map(subjectText) }),
      },
    }
  },
}
