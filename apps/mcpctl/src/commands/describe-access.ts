import { Authz } from '@mcpctl/client'
import type { EntryParts, TokenRow } from '@mcpctl/client'
import type { DenialRecord, EffectiveAccess, GrantRecord, Kind, ResourceObject } from '@mcpctl/contracts'
import { isReason } from '../errors'
import { age } from '../output/age'
import { section } from '../output/describe'
import { grantRows, minuteOf } from '../output/grants'
import type { Session } from '../session'

/** What the reader may not see. */
const forbidden = Symbol('forbidden')
type Seen<T> = T | typeof forbidden

const see = async <T>(look: Promise<T>): Promise<Seen<T>> => {
  try {
    return await look
  } catch (error) {
    if (isReason(error, 'Forbidden')) return forbidden
    throw error
  }
}

const titled = <T>(title: string, seen: Seen<T>, show: (value: T) => string): string =>
  seen === forbidden ? `${title}:  <forbidden>\n` : show(seen)

const membershipRows = (first: string, { memberships = [] }: EffectiveAccess): string[][] => [
  [first, 'SINCE', 'BY'],
  ...memberships.map(({ name, since, by }) => [name, minuteOf(since), by]),
]

const direct = (access: EffectiveAccess): string => section('Access: direct', grantRows(access.direct))

const inherited = ({ inherited: grants }: EffectiveAccess): string => {
  const groups = [...new Set(grants.map(({ via }) => via?.group ?? ''))]
  const of = (group: string): GrantRecord[] => grants.filter(({ via }) => via?.group === group)
  return groups.map((group) => section(`Access: via group ${group}`, grantRows(of(group)))).join('')
}

const scopeText = (scope: EntryParts): string =>
  [scope.role ?? `op ${scope.action ?? ''}`, scope.resource, scope.name].filter((part) => part !== undefined).join(':')

export const tokenRow = (token: TokenRow, now: number): string[] => {
  const { id, prefix, type, local, expiresAt, lastUsedAt, scopes, note } = token
  return [
    id,
    prefix,
    local ? `${type} (local)` : type,
    minuteOf(expiresAt),
    lastUsedAt ? `${age(lastUsedAt, now)} ago` : '<never>',
    scopes?.map(scopeText).join(',') || '*',
    note ?? '<none>',
  ]
}

const tokensSection = (tokens: readonly TokenRow[]): string =>
  section('Sessions and tokens', [
    ['ID', 'PREFIX', 'TYPE', 'EXPIRES', 'LAST-USED', 'SCOPE', 'NOTE'],
    ...tokens.map((token) => tokenRow(token, Date.now())),
  ])

const denialsSection = (denials: readonly DenialRecord[]): string =>
  section('Recent denials', [
    ['AT', 'ASKED', 'FROM'],
    ...denials.map(({ at, asked, sourceAddress = '<none>' }) => [minuteOf(at), asked, sourceAddress]),
  ])

type Sections = { text: string; fields: string[] }

const ofUser = async (authz: Authz, user: string): Promise<Sections> => {
  const [access, tokens, denials] = await Promise.all([
    see(authz.effective({ user })),
    see(authz.tokens(user)),
    see(authz.denials(user)),
  ])
  const text = [
    titled('Groups', access, (found) => section('Groups', membershipRows('NAME', found))),
    titled('Access', access, (found) => direct(found) + inherited(found)),
    titled('Sessions and tokens', tokens, tokensSection),
    titled('Recent denials', denials, denialsSection),
  ].join('')
  return { text, fields: [...(tokens === forbidden ? [] : ['tokens']), ...(access === forbidden ? [] : ['groups'])] }
}

const ofGroup = async (authz: Authz, group: string): Promise<Sections> => {
  const access = await see(authz.effective({ group }))
  if (access === forbidden) return { text: 'Access:  <forbidden>\n', fields: [] }
  const members = section('Members', membershipRows('NAME', access))
  return { text: members + direct(access), fields: ['members'] }
}

/** Whether what a grant names is there: rights may be given before it is, and hold again after it was. */
const withState = (grants: readonly GrantRecord[], { status }: ResourceObject): string[][] => {
  const objects = (status['objects'] ?? []) as { resource: string; name: string; state: string }[]
  const stateOf = ({ entry }: GrantRecord) =>
    objects.find(({ resource, name }) => resource === entry.resource && name === entry.name)?.state ?? '-'
  const [header = [], ...rows] = grantRows(grants)
  return [[...header, 'OBJECT'], ...rows.map((row, index) => [...row, ...grants.slice(index, index + 1).map(stateOf)])]
}

const ofRbac = async (authz: Authz, rbac: string, object: ResourceObject): Promise<Sections> => {
  const access = await see(authz.effective({ rbac }))
  if (access === forbidden) return { text: '', fields: [] }
  const { subjects = [], reaches = 0 } = access
  const text = [
    section('Subjects', [['KIND', 'NAME', 'STATE'], ...subjects.map(({ kind, name, state }) => [kind, name, state])]),
    section('Grants', withState(access.direct, object)),
    `Reaches:  ${String(reaches)} enabled ${reaches === 1 ? 'user' : 'users'}\n`,
  ].join('')
  return { text, fields: ['subjects', 'bindings', 'operations', 'objects', 'grants', 'dangling'] }
}

const ofKind: Record<string, (authz: Authz, name: string, object: ResourceObject) => Promise<Sections>> = {
  users: ofUser,
  groups: ofGroup,
  rbac: ofRbac,
}

export const isOfAccess = ({ plural }: Kind): boolean => Object.hasOwn(ofKind, plural)

/** What a user, a group or a binding has to do with rights. What the reader may not see says so. */
export const accessSections = async (session: Session, kind: Kind, object: ResourceObject): Promise<Sections> => {
  const read = ofKind[kind.plural]
  return read ? read(new Authz(session.client.http), object.metadata.name, object) : { text: '', fields: [] }
}
