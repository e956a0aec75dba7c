import type { CanIAnswer, GrantRecord } from '@mcpctl/contracts'
import { formatTable } from './table'

const none = '<none>'

/** `2026-07-02T09:12Z` */
export const minuteOf = (instant: string | undefined | null): string =>
  instant ? `${new Date(instant).toISOString().slice(0, 16)}Z` : none

const dayOf = (instant: string): string => instant.slice(0, 10)

const viaText = ({ via }: GrantRecord, user: string): string => {
  if (!via) return `User ${user}`
  const since = via.since === undefined ? '' : ` (member since ${dayOf(via.since)} by ${via.by ?? none})`
  return `Group ${via.group}${since}`
}

/** How an entry reaches a user: by which binding and group, since when and by whom. */
export const grantText = (grant: GrantRecord, user: string): string => {
  const { rbac, list, index, entry, grantedAt, grantedBy, position } = grant
  const place = `RbacBinding ${rbac}, ${list}[${String(index)}] ${entry.text}`
  const granted = `granted ${minuteOf(grantedAt)} by ${grantedBy} (position ${position})`
  return `${place} → ${viaText(grant, user)} ; ${granted}`
}

/** Why it is allowed, or what comes close and what would help. */
export const explanation = ({ user, paths, nearest, note, remedy }: CanIAnswer): string[] => [
  ...paths.map((grant) => grantText(grant, user)),
  ...nearest.map((grant) => `nearest: ${grantText(grant, user)}`),
  ...(note === undefined ? [] : [`because ${note}`]),
  ...(remedy === undefined ? [] : [`to allow it: ${remedy}`]),
]

const entryHeader = ['GRANT', 'RESOURCE', 'NAME']
const entryCells = ({ entry }: GrantRecord): string[] => [
  entry.role ?? `op ${entry.action ?? ''}`,
  entry.resource ?? '*',
  entry.name ?? '*',
]

/** Grants with their origin, one per row below a header. */
export const grantRows = (grants: readonly GrantRecord[]): string[][] => [
  [...entryHeader, 'BINDING', 'GRANTED-BY', 'GRANTED-AT'],
  ...grants.map((grant) => [...entryCells(grant), grant.rbac, grant.grantedBy, minuteOf(grant.grantedAt)]),
]

/** Grants with the group that they come through. */
export const grantTable = (grants: readonly GrantRecord[], columns: number | undefined): string =>
  formatTable(
    [
      [...entryHeader, 'BINDING', 'VIA'],
      ...grants.map((grant) => [...entryCells(grant), grant.rbac, grant.via ? `group/${grant.via.group}` : none]),
    ],
    columns,
  )
