import { createHmac } from 'node:crypto'
import { DomainError } from '@mcpctl/contracts'
import { SubjectKeys, WrappingKeys, type Undecryptable, type WrappingKey } from '@mcpctl/event-store'
import type { Pool, PoolClient } from 'pg'
import { KekUnusable, newKek, type Kek, type KekSource } from './kek-source'
import { SecretValue } from './secret-value'
import type { KekUse, KeyStatus, Opened, SealedValue, SealedVersion, Values, VaultState, VersionKey } from './types'

const fingerprintSubject = 'fingerprints'
const rewrapAtOnce = 100

/** Keys at hand, with which secrets are sealed and opened. */
interface Ring {
  current: Kek
  subjects: SubjectKeys
}

type Look = { ring: Ring } | { closed: Extract<VaultState, { status: 'closed' }> }

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
    const look = await this.look()
    return 'ring' in look ? { status: 'ready', kek: look.ring.current.id } : look.closed
  }

  /** Whole HMACs, for "did it change?": under a key of the store, so that nobody else can try values. */
  async fingerprints(uid: string, values: Values): Promise<Map<string, string>> {
    const { subjects } = await this.ring()
    const key = await subjects.derive(fingerprintSubject, 'fingerprint')
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
    return {
      values: Object.fromEntries(sealed),
      store: (transaction: PoolClient) => subject.store(transaction),
    }
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
    const usable = 'ring' in look ? new Set((await this.load())?.map(({ id }) => id)) : new Set<string>()
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

  /** Which key-encryption keys there are, and how much each of them wraps. */
  async status(): Promise<KeyStatus> {
    const state = await this.state()
    const announced = await this.wrapping.list()
    const present = new Set((await this.load().catch(() => undefined))?.map(({ id }) => id))
    const keks = announced.map(({ id, createdAt, dataKeys }, nth): KekUse => ({
      id,
      createdAt,
      dataKeys,
      present: present.has(id),
      current: nth === announced.length - 1,
    }))
    return { state, keks, stale: keks.reduce((sum, { current, dataKeys }) => sum + (current ? 0 : dataKeys), 0) }
  }

  /** Makes another key-encryption key the current one: it is kept first, then announced. What was wrapped before stays as it is until `rewrap`. */
  async rotate(): Promise<{ from: string; to: string }> {
    const { current } = await this.ring()
    const next = newKek()
    await this.source.save([...((await this.load()) ?? []), next])
    await this.wrapping.announce(next.key)
    return { from: current.id, to: next.id }
  }

  /**
   * Wraps what is not under the current key-encryption key anew, a hundred data keys at a time, and tells how far it is after each. Ciphertext stays
   * as it is. It may be ended at any time and begun again. Answers how many were wrapped and which could not be.
   */
  async *rewrap(): AsyncGenerator<{ done: number; failed: Undecryptable[] }> {
    const { subjects } = await this.ring()
    const failed: Undecryptable[] = []
    let done = 0
    let after: string | undefined = ''
    while (after !== undefined) {
      const step: Awaited<ReturnType<SubjectKeys['rewrap']>> = await subjects.rewrap({ after, limit: rewrapAtOnce })
      done += step.count
      failed.push(...step.failed)
      after = step.last
      yield { done, failed }
    }
  }

  /** Forgets the key-encryption keys that wrap nothing any more; base backups of before cannot be opened then. Answers their ids. */
  async retire(): Promise<string[]> {
    const { current } = await this.ring()
    const retired: string[] = []
    for (const { id } of await this.wrapping.list())
      if (id !== current.id && (await this.wrapping.retire(id))) retired.push(id)
    const needed = new Set((await this.wrapping.list()).map(({ id }) => id))
    await this.source.save(((await this.load()) ?? []).filter(({ id }) => needed.has(id)))
    this.held = undefined
    return retired
  }

  private async ring(): Promise<Ring> {
    const look = await this.look()
    if ('ring' in look) return look.ring
    throw new DomainError('Unavailable', `secrets can be neither opened nor sealed: ${look.closed.message}`)
  }

  /** The keys are loaded again whenever the store names another one: a second daemon may have rotated them. */
  private async look(): Promise<Look> {
    let announced = await this.wrapping.list()
    const names = announced.map(({ id }) => id).join()
    if (this.held && this.held.announced === names) return { ring: this.held.ring }
    try {
      const keys = announced.length === 0 ? await this.first() : await this.load()
      if (announced.length === 0) announced = await this.wrapping.list()
      const look = this.ringOf(keys, announced)
      this.held = 'ring' in look ? { ring: look.ring, announced: announced.map(({ id }) => id).join() } : undefined
      return look
    } catch (error) {
      if (!(error instanceof KekUnusable)) throw error
      this.held = undefined
      return { closed: { status: 'closed', reason: 'KekWrong', message: error.message } }
    }
  }

  private ringOf(keys: Kek[] | undefined, announced: WrappingKey[]): Look {
    const last = announced.at(-1)
    if (!keys)
      return closed(
        'KekMissing',
        `there is no key in ${this.source.place}; put the file back that was made with this store`,
      )
    const current = keys.find(({ key }) => last?.isHeldBy(key))
    if (!current)
      return closed(
        'KekWrong',
        `${this.source.place} does not hold the key ${last?.id ?? ''} of this store; put the file back that was made with it`,
      )
    const olderKeys = keys.filter((kek) => kek !== current).map(({ key }) => key)
    return {
      ring: { current, subjects: new SubjectKeys({ pool: this.pool, keyEncryptionKey: current.key, olderKeys }) },
    }
  }

  /** Keys for a store that has none: those that were given, or a new one. Whoever announces first wins. */
  private async first(): Promise<Kek[] | undefined> {
    const given = await this.load()
    const made = [newKek()]
    const keys = given ?? ((await this.source.create(made)) ? made : await this.load())
    const last = keys?.at(-1)
    if (last) await this.wrapping.announce(last.key, { first: true })
    return keys
  }

  private load(): Promise<Kek[] | undefined> {
    return this.source.load()
  }
}

const subjectOf = (uid: string, version: number) => `${uid}/${String(version)}`

const valueOf = (bytes: Buffer, binary = false): SecretValue => {
  const value = new SecretValue(bytes, binary)
  bytes.fill(0)
  return value
}

const closed = (reason: 'KekMissing' | 'KekWrong', message: string): Look => ({
  closed: { status: 'closed', reason, message },
})
