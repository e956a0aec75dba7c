import { alreadyExists, DomainError, jsonEqual, notFound } from '@mcpctl/contracts'
import type { ClaimChange, Decider } from '@mcpctl/event-store'
import type { SealedValue } from '@mcpctl/vault'
import { defaultHistoryLimit } from './secret.kind'

export interface SecretIdentity {
  name: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

/** Values of one version, sealed; `applied`: the keys that a manifest named, where one made the version. */
export interface SecretVersion {
  values: Record<string, SealedValue>
  applied?: string[]
}

/** Absent: the default. */
interface HistoryLimit {
  historyLimit?: number
}

export type SecretEvent =
  /** With the keys of the first version, whose values follow at once. */
  | { type: 'SecretCreated'; data: SecretIdentity & HistoryLimit & { keys: string[] }; claims: ClaimChange[] }
  | { type: 'SecretVersionSet'; data: SecretVersion & { version: number } }
  | { type: 'SecretLabelled'; data: { labels: Record<string, string>; annotations: Record<string, string> } }
  | { type: 'SecretHistoryLimitSet'; data: HistoryLimit }
  | { type: 'SecretVersionsShredded'; data: { versions: number[] } }
  | { type: 'SecretRevealed'; data: { version: number; keys: string[] } }
  | { type: 'SecretUndecryptable'; data: { version: number; keys: string[] } }
  | { type: 'SecretDeleted'; data: object; claims: ClaimChange[] }

export interface ApplySecretCommand extends HistoryLimit {
  type: 'Apply'
  mode: 'create' | 'replace' | 'apply'
  identity: SecretIdentity
  /** The next version; absent when no value changes. */
  next?: SecretVersion
  /** Versions that instances run with or servers pin: they are kept beyond the limit. */
  inUse: readonly number[]
}

export type SecretCommand =
  | ApplySecretCommand
  /** What was revealed, before it is. */
  | { type: 'Reveal'; version: number; keys: string[] }
  /** Which keys of a version cannot be opened though they should; none to say that all can be again. */
  | { type: 'ReportUndecryptable'; version: number; keys: string[] }
  /** Destroys what has outlived the history limit. */
  | { type: 'Sweep'; inUse: readonly number[] }
  /** `users`: servers that name it, as far as who asks may see them; `hidden`: how many others. */
  | { type: 'Delete'; users: readonly string[]; hidden: number; force: boolean }

export interface PresentSecret extends SecretIdentity, HistoryLimit {
  status: 'present'
  /** The current one; the first is 1. */
  version: number
  /** Those that can be opened, by number, oldest first. */
  versions: Record<string, SecretVersion>
  /** Keys of those that were destroyed. */
  destroyed: Record<string, string[]>
  /** What could not be opened when it was last tried. */
  undecryptable?: { version: number; keys: string[] }
}

export type Secret = { status: 'absent' } | PresentSecret

const nameClaim = (op: ClaimChange['op'], name: string): ClaimChange => ({ op, scope: 'name', key: `secret/${name}` })

/** Numbers of the versions that can be opened, oldest first. */
export const liveVersions = ({ versions }: PresentSecret): number[] => Object.keys(versions).map(Number)

/** One that was shredded is told from one that never was. Throws NotFound or Expired. */
export const versionOf = (secret: PresentSecret, version: number): SecretVersion => {
  const found = secret.versions[version]
  if (found) return found
  const which = `version ${String(version)} of secret "${secret.name}"`
  if (version < 1 || version > secret.version)
    throw new DomainError('NotFound', `there is no ${which}; the current one is ${String(secret.version)}`)
  throw new DomainError('Expired', `${which} was destroyed; its values cannot be had any more`)
}

/** The current version and those before it, as many as the limit says, and whatever is in use. */
const outlived = (live: readonly number[], inUse: readonly number[], limit = defaultHistoryLimit): number[] =>
  live.slice(0, Math.max(0, live.length - limit)).filter((version) => !inUse.includes(version))

const shredded = (versions: number[]): SecretEvent[] =>
  versions.length === 0 ? [] : [{ type: 'SecretVersionsShredded', data: { versions } }]

const limitOf = ({ historyLimit }: HistoryLimit): HistoryLimit => ({
  ...(historyLimit !== undefined && historyLimit !== defaultHistoryLimit && { historyLimit }),
})

/** Throws what is wrong with creating or replacing, before any value is looked at. */
export const refuseMode = ({ status }: Secret, mode: ApplySecretCommand['mode'], name: string): void => {
  if (status === 'absent' && mode === 'replace') throw notFound('secrets', name)
  if (status === 'present' && mode === 'create') throw alreadyExists('secrets', name)
}

const created = ({ identity, next, ...command }: ApplySecretCommand): SecretEvent[] => [
  {
    type: 'SecretCreated',
    data: { ...identity, ...limitOf(command), keys: Object.keys(next?.values ?? {}) },
    claims: [nameClaim('take', identity.name)],
  },
  { type: 'SecretVersionSet', data: { version: 1, values: {}, ...next } },
]

const changed = (command: ApplySecretCommand, secret: PresentSecret): SecretEvent[] => {
  const { identity, next, inUse } = command
  const { labels, annotations } = identity
  const version = secret.version + 1
  const isLabelled = !jsonEqual(secret.labels, labels) || !jsonEqual(secret.annotations, annotations)
  const live = [...liveVersions(secret), ...(next ? [version] : [])]
  return [
    ...(isLabelled ? [{ type: 'SecretLabelled', data: { labels, annotations } } as const] : []),
    ...(jsonEqual(limitOf(secret), limitOf(command))
      ? []
      : [{ type: 'SecretHistoryLimitSet', data: limitOf(command) } as const]),
    ...(next ? [{ type: 'SecretVersionSet', data: { version, ...next } } as const] : []),
    ...shredded(outlived(live, inUse, command.historyLimit)),
  ]
}

const refuseInUse = ({ name }: PresentSecret, users: readonly string[], hidden: number): void => {
  if (users.length + hidden === 0) return
  const named = users.map((user) => `"${user}"`).join(', ')
  const others = hidden === 0 ? '' : `${users.length > 0 ? ' and ' : ''}${String(hidden)} that you may not view`
  throw new DomainError(
    'InUse',
    `secret "${name}" is used by servers ${named}${others}; take it out of them first, or delete it with --force, and their next instances wait for it`,
    { kind: 'secrets', name },
  )
}

const decide = (command: SecretCommand, secret: Secret): SecretEvent[] => {
  if (command.type === 'Apply') {
    refuseMode(secret, command.mode, command.identity.name)
    return secret.status === 'absent' ? created(command) : changed(command, secret)
  }
  if (secret.status === 'absent') throw new DomainError('NotFound', 'no such secret')
  switch (command.type) {
    case 'Reveal':
      versionOf(secret, command.version)
      return [{ type: 'SecretRevealed', data: { version: command.version, keys: command.keys } }]
    case 'ReportUndecryptable': {
      const { version, keys } = command
      const before = secret.undecryptable ?? { version, keys: [] }
      return jsonEqual(before, { version, keys }) ? [] : [{ type: 'SecretUndecryptable', data: { version, keys } }]
    }
    case 'Sweep':
      return shredded(outlived(liveVersions(secret), command.inUse, secret.historyLimit))
    case 'Delete':
      if (!command.force) refuseInUse(secret, command.users, command.hidden)
      return [
        ...shredded(liveVersions(secret)),
        { type: 'SecretDeleted', data: {}, claims: [nameClaim('release', secret.name)] },
      ]
  }
}

const withoutLimit = ({ historyLimit: _, ...secret }: PresentSecret): PresentSecret => secret
const readable = ({ undecryptable: _, ...secret }: PresentSecret): PresentSecret => secret

const evolve = (secret: Secret, event: SecretEvent): Secret => {
  if (event.type === 'SecretCreated') {
    const { keys: _, ...created } = event.data
    return { ...created, status: 'present', version: 0, versions: {}, destroyed: {} }
  }
  if (secret.status === 'absent') return secret
  switch (event.type) {
    case 'SecretVersionSet': {
      const { version, ...set } = event.data
      return { ...readable(secret), version, versions: { ...secret.versions, [version]: set } }
    }
    case 'SecretLabelled':
      return { ...secret, ...event.data }
    case 'SecretHistoryLimitSet':
      return { ...withoutLimit(secret), ...event.data }
    case 'SecretVersionsShredded': {
      const isGone = ([version]: [string, SecretVersion]) => event.data.versions.includes(Number(version))
      const all = Object.entries(secret.versions)
      const destroyed = all.filter(isGone).map(([version, { values }]) => [version, Object.keys(values)] as const)
      return {
        ...secret,
        versions: Object.fromEntries(all.filter((entry) => !isGone(entry))),
        destroyed: { ...secret.destroyed, ...Object.fromEntries(destroyed) },
      }
    }
    case 'SecretUndecryptable':
      return event.data.keys.length === 0 ? readable(secret) : { ...secret, undecryptable: event.data }
    case 'SecretRevealed':
      return secret
    case 'SecretDeleted':
      return { status: 'absent' }
  }
}

/** A secret: which keys it has, and its values in versions, sealed. */
export const secretDecider: Decider<Secret, SecretCommand, SecretEvent> = {
  category: 'secret',
  events: {
    SecretCreated: [],
    SecretVersionSet: [],
    SecretLabelled: [],
    SecretHistoryLimitSet: [],
    SecretVersionsShredded: [],
    SecretRevealed: [],
    SecretUndecryptable: [],
    SecretDeleted: [],
  },
  initial: { status: 'absent' },
  decide,
  evolve,
}
