import { Injectable } from '@nestjs/common'
import { CommandHandler, type ICommandHandler } from '@nestjs/cqrs'
import { DomainError } from '@mcpctl/contracts'
import { Forgotten, Overtaken } from '@mcpctl/event-store'
import {
  ApplyRequest,
  decideOn,
  DeleteRequest,
  handlerFor,
  RequestRunner,
  streamOf,
  type CommandContext,
} from '@mcpctl/resource'
import { SecretValue, Vault, type Values } from '@mcpctl/vault'
import { isUnchanged, keptKeys } from './secret-keys.plan'
import { SecretUsers } from './secret-users.reader'
import {
  liveVersions,
  secretDecider,
  type PresentSecret,
  type Secret,
  type SecretEvent,
  type SecretVersion,
} from './secret.decider'
import { defaultHistoryLimit } from './secret.kind'
import type { SecretSpec } from './secret.schema'

const maxValueBytes = 64 * 1024
const maxSecretBytes = 512 * 1024

export class ApplySecret extends ApplyRequest<SecretSpec> {}
export class DeleteSecret extends DeleteRequest {}

/** Records what is about to be revealed. */
export class RevealSecret {
  constructor(
    readonly uid: string,
    readonly revealed: { version: number; keys: string[] },
    readonly context: CommandContext,
  ) {}
}

/** Says which keys of a version cannot be opened though they should; none when all can be again. */
export class ReportUndecryptable {
  constructor(
    readonly uid: string,
    readonly found: { version: number; keys: string[] },
    readonly context: CommandContext,
  ) {}
}

/** Asks for versions beyond the history limit to be destroyed, once nothing uses them any more. */
export class SweepSecret {
  constructor(
    readonly uid: string,
    readonly context: CommandContext,
  ) {}
}

const refuseLarge = (name: string, values: Values): void => {
  const sizes = [...values].map(([key, value]): [string, number] => [key, value.bytes().length])
  const large = sizes.find(([, bytes]) => bytes > maxValueBytes)
  const refused = (what: string, limit: number, next = '') =>
    new DomainError('TooLarge', `${what} of secret "${name}" may hold at most ${String(limit / 1024)} KiB${next}`, {
      kind: 'secrets',
      name,
    })
  if (large) throw refused(`key "${large[0]}"`, maxValueBytes)
  if (sizes.reduce((sum, [, bytes]) => sum + bytes, 0) > maxSecretBytes)
    throw refused('the values', maxSecretBytes, '; spread them over several secrets')
}

const given = (spec: SecretSpec): { values: Map<string, SecretValue>; kept: string[] } => {
  const entries = [...spec.data.entries()]
  const values = entries.filter((entry): entry is [string, SecretValue] => entry[1] !== 'keep')
  return { values: new Map(values), kept: entries.flatMap(([key, entry]) => (entry === 'keep' ? [key] : [])) }
}

/** Data keys of versions that the events say are destroyed go in the same commit. */
const shredWith = (vault: Vault, { uid, context }: { uid: string; context: CommandContext }, events: SecretEvent[]) => {
  const versions = events.flatMap((event) => (event.type === 'SecretVersionsShredded' ? event.data.versions : []))
  if (versions.length > 0) context.unit.alongside((transaction) => vault.shred(uid, versions, transaction))
  return events
}

/** Seals what is new together with what is kept, so that each version is whole and has a key of its own. */
@Injectable()
@CommandHandler(ApplySecret)
export class ApplySecretHandler implements ICommandHandler<ApplySecret> {
  constructor(
    private readonly vault: Vault,
    private readonly users: SecretUsers,
    private readonly requests: RequestRunner,
  ) {}

  async execute(request: ApplySecret): Promise<SecretEvent[]> {
    const { uid, context, desired } = request
    const { name, labels, annotations, spec, mode } = desired
    const secret = await context.unit.state(secretDecider, streamOf(secretDecider.category, uid))
    const next = await this.next(request, secret)
    const limit = spec.historyLimit ?? defaultHistoryLimit
    const isFull = secret.status === 'present' && liveVersions(secret).length + (next ? 1 : 0) > limit
    const events = await decideOn(secretDecider, request, {
      type: 'Apply',
      mode,
      identity: { name, labels, annotations },
      ...(spec.historyLimit !== undefined && { historyLimit: spec.historyLimit }),
      ...(next && { next }),
      inUse: isFull ? await this.users.versions({ name, uid }) : [],
    })
    return shredWith(this.vault, request, events)
  }

  /** The version that the write makes; undefined when no value changes. */
  private async next({ uid, context, desired }: ApplySecret, secret: Secret): Promise<SecretVersion | undefined> {
    const { name, spec, mode } = desired
    const { values, kept: wanted } = given(spec)
    const kept = keptKeys(secret, { mode, name, given: [...values.keys()], kept: wanted })
    refuseLarge(name, values)
    const fingerprints = values.size === 0 ? new Map<string, string>() : await this.vault.fingerprints(uid, values)
    const isSame = isUnchanged(secret, fingerprints, kept)
    if (isSame && (values.size === 0 || !(await this.isShut(uid, secret)))) return undefined
    const whole = new Map([...(await this.keep(uid, secret, kept)), ...values])
    refuseLarge(name, whole)
    const version = secret.status === 'absent' ? 1 : secret.version + 1
    const sealed = await this.vault.seal(uid, version, whole)
    context.unit.alongside((transaction) => sealed.store(transaction))
    for (const value of whole.values()) value.erase()
    return {
      values: sealed.values,
      ...(mode === 'apply' && { applied: [...spec.data.entries().keys()] }),
    }
  }

  /** Values that go on. Throws Unavailable, naming what cannot be opened, rather than lose one. */
  private async keep(uid: string, secret: Secret, keys: readonly string[]): Promise<Values> {
    if (secret.status === 'absent' || keys.length === 0) return new Map()
    const { name, version, versions } = secret
    const all = versions[version]?.values ?? {}
    const opened = await this.vault.open(
      uid,
      version,
      Object.fromEntries(Object.entries(all).filter(([key]) => keys.includes(key))),
    )
    const lost = keys.filter((key) => !(opened.get(key) instanceof SecretValue))
    if (lost.some((key) => opened.get(key) instanceof Forgotten) && (await this.isOver(uid, version)))
      throw new Overtaken(`version ${String(version)} of secret "${name}" was destroyed meanwhile`)
    if (lost.length > 0)
      throw new DomainError(
        'Unavailable',
        `secret "${name}" cannot keep ${lost.map((key) => `"${key}"`).join(', ')}: what is stored cannot be opened; give a new value`,
        { kind: 'secrets', name },
      )
    return opened as Values
  }

  /** Whether the current version's key cannot be had, as after a restore: the same values given again make it whole. */
  private async isShut(uid: string, secret: Secret): Promise<boolean> {
    const keys = (await this.vault.keysOf([uid])).get(uid) ?? []
    return secret.status === 'present' && !keys.some(({ version, usable }) => version === secret.version && usable)
  }

  /** Whether a version that was the current one is not any more. */
  private async isOver(uid: string, version: number): Promise<boolean> {
    const now = await this.requests.look((unit) => unit.state(secretDecider, streamOf(secretDecider.category, uid)))
    return now.status === 'absent' || now.version !== version
  }
}

/** Gathers which servers name the secret, and which of them who asks may know of. */
@Injectable()
@CommandHandler(DeleteSecret)
export class DeleteSecretHandler implements ICommandHandler<DeleteSecret> {
  constructor(
    private readonly vault: Vault,
    private readonly users: SecretUsers,
  ) {}

  async execute(request: DeleteSecret): Promise<SecretEvent[]> {
    const { uid, context, options } = request
    const secret = await context.unit.state(secretDecider, streamOf(secretDecider.category, uid))
    const servers = secret.status === 'absent' ? [] : await this.users.servers(secret.name)
    const visible = servers.filter((server) => context.mayView?.('servers', server) !== false)
    const events = await decideOn(secretDecider, request, {
      type: 'Delete',
      users: visible,
      hidden: servers.length - visible.length,
      force: options.force === true,
    })
    return shredWith(this.vault, request, events)
  }
}

@Injectable()
@CommandHandler(SweepSecret)
export class SweepSecretHandler implements ICommandHandler<SweepSecret> {
  constructor(
    private readonly vault: Vault,
    private readonly users: SecretUsers,
  ) {}

  async execute(request: SweepSecret): Promise<SecretEvent[]> {
    const { uid, context } = request
    const secret = await context.unit.state(secretDecider, streamOf(secretDecider.category, uid))
    if (secret.status === 'absent' || !isOverFull(secret)) return []
    const inUse = await this.users.versions({ name: secret.name, uid })
    return shredWith(this.vault, request, await decideOn(secretDecider, request, { type: 'Sweep', inUse }))
  }
}

const isOverFull = (secret: PresentSecret) => liveVersions(secret).length > (secret.historyLimit ?? defaultHistoryLimit)

export const secretHandlers = [
  ApplySecretHandler,
  DeleteSecretHandler,
  SweepSecretHandler,
  handlerFor(RevealSecret, secretDecider, ({ revealed }) => ({ type: 'Reveal', ...revealed })),
  handlerFor(ReportUndecryptable, secretDecider, ({ found }) => ({ type: 'ReportUndecryptable', ...found })),
]
