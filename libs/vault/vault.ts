import { createHmac, type KeyObject } from 'node:crypto'
import { DomainError } from '@mcpctl/contracts'
import { SubjectKeys, WrappingKeys, Undecryptable, type WrappingKey, type WrappingKeyChange } from '@mcpctl/event-store'
import type { Pool, PoolClient } from 'pg'
import { KekUnusable, newKek, type Kek, type KekSource } from './kek-source'
import { lacking, ringOf, ringWith, stateOf, type Look, type Ring } from './ring'
import { SecretValue } from './secret-value'
import type {
  KekUse,
  KeyStatus,
  Opened,
  Recorded,
  Rotation,
  SealedValue,
  SealedVersion,
  Values,
  VaultState,
  VersionKey,
} from './types'

const fingerprintSubject = 'fingerprints'
const rewrapAtOnce = 100

type Lister = Pick<WrappingKeys, 'list'>

/**
 * Seals and opens the values of secrets: one data key per version of a secret, wrapped by a key-encryption key outside the database. Without
 * that key it is closed: everything but destroying keys throws `Unavailable`, and says what to do.
 */
export class Vault {
  private readonly wrapping: WrappingKeys
  private held: { ring: Ring; announced: string } | undefined

  constructor(
    private readonly pool: Pool,
    private readonly source: KekSource,
  ) {
    this.wrapping = new WrappingKeys(pool)
  }

  /** Makes the first key of a new store, then looks whether the keys at hand are the right ones. Throws `Unavailable` while the database is away. */
  async state(): Promise<VaultState> {
    return stateOf(await this.look())
  }

  /** Whole HMACs, for "did it change?": under a key of the store, so that nobody else can try values. */
  async fingerprints(uid: string, values: Values): Promise<Map<string, string>> {
    const key = await this.fingerprintKey(await this.ring())
    return new Map(
      [...values].map(([name, value]) => [
        name,
        createHmac('sha256', key)
          .update(JSON.stringify([uid, name, value.binary]))
          .update(value.bytes())
          .digest('hex'),
      ]),
    )
  }

  /** Seals all values of a version of a secret under a new data key, which is there once `store` has put it into the event's transaction. */
  async seal(uid: string, version: number, values: Values): Promise<SealedVersion> {
    const { subjects } = await this.ring()
    const fingerprints = await this.fingerprints(uid, values)
    const subject = await subjects.begin(subjectOf(uid, version))
    const sealed = [...values].map(([name, value]): [string, SealedValue] => [
      name,
      {
        ciphertext: subject.seal(name, value.bytes()),
        fingerprint: fingerprints.get(name) ?? '',
        binary: value.binary,
      },
    ])
    return { values: Object.fromEntries(sealed), store: (transaction) => subject.store(transaction) }
  }

  /** Opens values of one version, each for itself: what cannot be opened says why and does not hurt the others. */
  async open(uid: string, version: number, values: Record<string, SealedValue>): Promise<Map<string, Opened>> {
    const { subjects } = await this.ring()
    const names = Object.keys(values)
    const subject = subjectOf(uid, version)
    const items = names.map((name) => ({ subject, purpose: name, sealed: (values[name] as SealedValue).ciphertext }))
    const opened = await subjects.openBytes(items)
    return new Map(
      opened.map((each, nth) => {
        const name = names[nth] as string
        return [name, Buffer.isBuffer(each) ? valueOf(each, values[name]?.binary) : each]
      }),
    )
  }

  /** Destroys the data keys of versions, for ever, in the transaction in which that is recorded. Needs no key-encryption key. */
  async shred(uid: string, versions: readonly number[], transaction: PoolClient): Promise<void> {
    // Forgetting asks for no key: any will do.
    const subjects = new SubjectKeys({ pool: this.pool, keyEncryptionKey: new Uint8Array(32) })
    for (const version of versions) await subjects.forget(subjectOf(uid, version), transaction)
  }

  /** The keys of the versions of secrets that are not shredded, by uid. Needs no key-encryption key. */
  async keysOf(uids: readonly string[]): Promise<Map<string, VersionKey[]>> {
    const look = await this.look()
    const usable = 'ring' in look ? look.ring.ids : new Set<string>()
    const { rows } = await this.pool.query<{ uid: string; version: number; kek: string }>(
      `select split_part(subject, '/', 1) as uid, split_part(subject, '/', 2)::int as version, kek_id as kek
       from unnest($1::text[]) wanted (uid) join es.subject_key k
         on k.subject collate "C" >= wanted.uid || '/' and k.subject collate "C" < wanted.uid || '0' where k.kek_id is not null order by 1, 2`,
      [uids],
    )
    const found = new Map<string, VersionKey[]>()
    for (const { uid, version, kek } of rows)
      found.set(uid, [...(found.get(uid) ?? []), { version, kek, usable: usable.has(kek) }])
    return found
  }

  /** Which key-encryption keys there are, and how much each of them wraps. Throws `Unavailable` while the database is away. */
  async status(): Promise<KeyStatus> {
    const look = await this.look()
    const [announced, uses] = await Promise.all([this.wrapping.list(), this.wrapping.uses()])
    const present = 'ring' in look ? look.ring.ids : await this.idsInFile()
    const current = announced.at(-1)?.id
    const keks = announced.map(({ id, createdAt }): KekUse => ({
      id,
      createdAt,
      dataKeys: uses.get(id) ?? 0,
      present: present.has(id),
      current: id === current,
    }))
    const stale = [...uses].reduce((sum, [id, count]) => sum + (id === current ? 0 : count), 0)
    return { state: stateOf(look), place: this.source.place, keks, stale }
  }

  /**
   * Makes another key-encryption key the current one: it is kept first, then announced, in the transaction in which `record` says so. The key of
   * fingerprints is wrapped anew at once, so that secrets can be written with the new key alone; what else was wrapped before stays as it is until
   * `rewrap`. Throws `Unavailable` when the vault is closed or the key cannot be kept, and what `record` throws: then nothing has changed.
   */
  async rotate(record?: Recorded<Rotation>): Promise<Rotation> {
    await this.ring()
    return this.changing(async (change) => {
      const { current, ids } = await this.ring(change)
      const next = newKek()
      const keys = [...(await this.kept(ids, await change.list())), next]
      await this.source.save(keys)
      await change.announce(next.key)
      // One that cannot be opened stays as it is, and `rewrap` names it.
      await ringWith(this.pool, next, keys).subjects.renew(fingerprintSubject, change.transaction)
      const rotation = { from: current.id, to: next.id }
      await record?.(change.transaction, rotation)
      return rotation
    })
  }

  /**
   * Wraps what is not under the current key-encryption key anew, a hundred data keys at a time, and tells how far it is after each. Ciphertext stays
   * as it is. It may be ended at any time and begun again; when keys are rotated meanwhile, here or by another daemon, it begins again by itself. Answers
   * how many were wrapped, some of them twice then, and which could not be.
   */
  async *rewrap(): AsyncGenerator<{ done: number; failed: Undecryptable[] }> {
    let [kek, after, done, failed]: [string, string | undefined, number, Undecryptable[]] = ['', '', 0, []]
    while (after !== undefined) {
      const { current, subjects } = await this.ring()
      // What is behind was wrapped with a key that is an older one now.
      if (current.id !== kek) [kek, after, failed] = [current.id, '', []]
      const step: Awaited<ReturnType<SubjectKeys['rewrap']>> = await subjects.rewrap({ after, limit: rewrapAtOnce })
      done += step.count
      failed.push(...step.failed)
      after = step.last
      yield { done, failed }
    }
  }

  /**
   * Forgets the key-encryption keys that wrap nothing any more, where they are kept too; base backups of before cannot be opened then. `record` says so
   * in the same transaction, unless there are none. Answers their ids. Throws as `rotate`.
   */
  async retire(record?: Recorded<string[]>): Promise<string[]> {
    await this.ring()
    const retired = await this.changing(async (change) => {
      const ids = await change.retire()
      if (ids.length > 0) await record?.(change.transaction, ids)
      return ids
    })
    // Only now: a key may be lost when the store needs it no more, not before.
    await this.changing(async (change) => {
      const gone = new Set(await change.retired())
      const keys = (await this.source.load()) ?? []
      const kept = keys.filter(({ id }) => !gone.has(id))
      if (kept.length > 0 && kept.length < keys.length) await this.source.save(kept)
    })
    return retired
  }

  private async fingerprintKey({ current, subjects }: Ring): Promise<KeyObject> {
    try {
      return await subjects.derive(fingerprintSubject, 'fingerprint')
    } catch (error) {
      // Keys may have been rotated since they were looked at, and with them this one.
      const now = error instanceof Undecryptable ? await this.ring() : undefined
      if (!now || now.current.id === current.id) throw error
      return this.fingerprintKey(now)
    }
  }

  private async changing<R>(work: (change: WrappingKeyChange) => Promise<R>): Promise<R> {
    try {
      return await this.wrapping.change(work)
    } catch (error) {
      if (error instanceof KekUnusable) throw new DomainError('Unavailable', error.message, { cause: error })
      throw error
    }
  }

  /** Keys as they are kept now: one in use that is in memory alone would be lost with the next change. */
  private async kept(ids: ReadonlySet<string>, announced: WrappingKey[]): Promise<Kek[]> {
    const keys = (await this.source.load()) ?? []
    const lost = announced.find(({ id }) => ids.has(id) && !keys.some((kek) => kek.id === id))
    if (lost) throw new KekUnusable(lacking(this.source.place, lost.id))
    return keys
  }

  private async idsInFile(): Promise<ReadonlySet<string>> {
    return new Set((await this.source.load().catch(() => undefined))?.map(({ id }) => id))
  }

  private async ring(list: Lister = this.wrapping): Promise<Ring> {
    const look = await this.look(list)
    if ('ring' in look) return look.ring
    throw new DomainError('Unavailable', `secrets can be neither opened nor sealed: ${look.closed.message}`)
  }

  /** The keys are loaded again whenever the store names another one, since a second daemon may have rotated them, and while one is missing. */
  private async look(list: Lister = this.wrapping): Promise<Look> {
    try {
      const found = await list.list()
      const announced = found.length > 0 ? found : await this.first()
      const names = announced.map(({ id }) => id)
      if (this.held?.announced === names.join()) return { ring: this.held.ring }
      const look = ringOf(this.pool, this.source.place, await this.source.load(), announced)
      const isWhole = 'ring' in look && names.every((id) => look.ring.ids.has(id))
      this.held = isWhole ? { ring: look.ring, announced: names.join() } : undefined
      return look
    } catch (error) {
      if (!(error instanceof KekUnusable)) throw error
      this.held = undefined
      return { closed: { status: 'closed', reason: 'KekWrong', message: error.message } }
    }
  }

  /** The first key of a store that has none: the last of those that were given, or a new one. */
  private first(): Promise<WrappingKey[]> {
    return this.wrapping.change(async (change) => {
      const announced = await change.list()
      if (announced.length > 0) return announced
      // Another store may be given the same file at the same time.
      const keys = (await this.source.load()) ?? (await this.made()) ?? (await this.source.load())
      const last = keys?.at(-1)
      if (last) await change.announce(last.key)
      return change.list()
    })
  }

  private async made(): Promise<Kek[] | undefined> {
    const keys = [newKek()]
    return (await this.source.create(keys)) ? keys : undefined
  }
}

const subjectOf = (uid: string, version: number) => `${uid}/${String(version)}`

const valueOf = (bytes: Buffer, binary = false): SecretValue => {
  const value = new SecretValue(bytes, binary)
  bytes.fill(0)
  return value
}
