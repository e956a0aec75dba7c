import { isRole, type Entry } from './entry'
import type { Granted, RbacFact } from './fact'

/** An entry as it reaches a user: by which binding, and through which group. */
export interface Grant {
  entry: Entry
  rbac: { uid: string; name: string }
  /** Place among the binding's roles or its operations, from 0. */
  index: number
  granted: Granted
  via?: Via
}

/** Nobody was ever made a member of the group of everybody: there `since` and `by` are empty. */
export interface Via {
  group: string
  since: string
  by: string
}

/** A grant of a group as it reaches one of its members. */
export const inherited = (grant: Grant, via: Via | undefined): Grant => {
  if (!via) return grant
  // Each by its name: a spread takes a microsecond, and there may be many.
  const { entry, rbac, index, granted } = grant
  return { entry, rbac, index, granted, via }
}

/** Orders grants by binding, then by place in it; what comes directly is before what comes through a group. */
export const byOrigin = (a: Grant, b: Grant): number =>
  compare(a.rbac.name, b.rbac.name) ||
  Number(isRole(b.entry)) - Number(isRole(a.entry)) ||
  a.index - b.index ||
  compare(a.via?.group ?? '', b.via?.group ?? '')

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

/** The entries of a binding, each with its place. */
export const grantsIn = ({ uid, name, entries }: RbacFact): Grant[] => {
  const next = { roles: 0, operations: 0 }
  return entries.map(({ entry, ...granted }) => ({
    entry,
    rbac: { uid, name },
    index: isRole(entry) ? next.roles++ : next.operations++,
    granted,
  }))
}
