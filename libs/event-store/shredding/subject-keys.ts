import { hkdfSync, type KeyObject } from 'node:crypto'
import type { ClientBase, Pool } from 'pg'
import { DomainError } from '@mcpctl/contracts'
import { v4 as uuidv4 } from 'uuid'
import { checkPayload } from '../append/payload'
import { Overtaken } from '../decide/overtaken'
import type { Json } from '../types'
import { decrypt, encrypt, fingerprint, keyOf, randomKey, toKey, type Key } from './cipher'
import { authenticated, verified, type ExportedKey, type ExportedKeys } from './key-list'
import {
  createKey,
  destroyKey,
  keysOf,
  replaceWraps,
  staleKeysOf,
  storeKeys,
  type KeyRow,
  type LiveKey,
  type Rewrap,
  type Queryable,
} from './key-rows'
import { Forgotten, Undecryptable } from './outcomes'
import { measured, padded, unmeasured } from './padding'

export interface SubjectKeysOptions {
  /** Its connections act as `mcpd_app`. */
  pool: Pool
  /** 32 bytes that wrap the subjects' keys. Kept outside the database: whoever has both can read everything. */
  keyEncryptionKey: Key
  /** Those that it takes over from: they open what they have wrapped, and wrap nothing more. */
  olderKeys?: readonly Key[]
}

/** Whose a value is and where it stands. Opening it for another subject or purpose fails. */
export interface Place {
  /** An id that tells nothing by itself: its tombstone stays for ever. At most a key's worth of values, 2^32, belong to one. */
  subject: string
  /** Names the one place of the value, for example stream, version and field: a ciphertext that was moved does not open. */
  purpose: string
}

/** What stands in an event in the place of a value: names of keys and ciphertext. */
export type Sealed = {
  /** The store in which the value was sealed. */
  origin: string
  key: string
  /** Base64. Values of the same 64 bytes of length look the same. */
  ciphertext: string
}

/** A key that is made with its values: nobody else can have sealed anything with it. */
export interface NewSubject {
  /** Bytes, whose length shows as the next 64 only. */
  seal(purpose: string, bytes: Uint8Array): Sealed
  /** Puts the key into the transaction in which the values commit. Throws Overtaken when the subject has a key or a tombstone already, or its key-encryption key was retired meanwhile. */
  store(transaction: ClientBase): Promise<void>
}

/** What one step of wrapping keys anew has done. */
export interface Rewrapped {
  count: number
  /** Keys that none of the key-encryption keys at hand opens, or that were altered: they stay as they are. */
  failed: Undecryptable[]
  /** Subject of the last key that was looked at, to go on after; undefined at the end. */
  last: string | undefined
}

/**
 * Values in an append-only log that can be forgotten: each subject has a data key in a mutable table, values are sealed with it before
 * they are appended (AES-256-GCM), and destroying the key makes them unreadable. The log's hashes cover ciphertext, so its chain still verifies.
 *
 * What forgetting promises: unrecoverable from the live store; copies survive in WAL archives, replicas, base backups and mcpctl
 * backups made earlier until those expire. The destroyed key, wrapped as it is, stays in the table's file until its page is
 * written over, for which autovacuum makes room at its next round; the owner of the table may have it rewritten (VACUUM FULL). Whoever has opened a value before keeps what they have read;
 * here no key and no value is kept between calls.
 */
export class SubjectKeys {
  private readonly pool: Pool
  private readonly wrapping: KeyObject
  private readonly wrappingId: string
  private readonly unwrapping: ReadonlyMap<string, KeyObject>

  /** Throws when a key does not have 32 bytes. */
  constructor({ pool, keyEncryptionKey, olderKeys = [] }: SubjectKeysOptions) {
    this.pool = pool
    this.wrapping = toKey(keyEncryptionKey)
    this.wrappingId = fingerprint(this.wrapping)
    const all = [...olderKeys.map(toKey), this.wrapping]
    this.unwrapping = new Map(all.map((key) => [fingerprint(key), key]))
  }

  /**
   * Seals a JSON value. The subject's first value makes its key, in `transaction` where given, so that it commits with the event.
   * Throws `Expired` for a forgotten subject, `Undecryptable` when its key is under another key-encryption key, `Invalid` for what is not JSON,
   * `Unavailable`.
   */
  async seal({ subject, purpose }: Place, value: Json, transaction?: ClientBase): Promise<Sealed> {
    checkPayload({ subject, purpose, value }, '')
    const { origin, row, dataKey } = await this.dataKey(subject, transaction ?? this.pool)
    const ciphertext = encrypt(dataKey, padded(value), valuePlace(origin, row, purpose)).toString('base64')
    return { origin, key: row.key, ciphertext }
  }

  /** The value, or `Forgotten`. Throws `Undecryptable` when it cannot be opened though the subject is not forgotten; `Unavailable`. */
  async open(place: Place, sealed: Sealed): Promise<Json | Forgotten> {
    const [opened] = await this.openAll([{ ...place, sealed }])
    if (opened instanceof Undecryptable) throw opened
    return opened as Json | Forgotten
  }

  /** As `open`, for many at once, in order. One that cannot be opened does not hurt the others: its error stands in its place. */
  async openAll(items: readonly (Place & { sealed: Sealed })[]): Promise<(Json | Forgotten | Undecryptable)[]> {
    return this.openEach(items, valuePlace, (text) => JSON.parse(text.toString()) as Json)
  }

  private async openEach<T>(
    items: readonly (Place & { sealed: Sealed })[],
    placeOf: PlaceOf,
    read: (plaintext: Buffer) => T,
  ): Promise<(T | Forgotten | Undecryptable)[]> {
    const keys = await keysOf(this.pool, [...new Set(items.map(({ subject }) => subject))])
    const rows = new Map(keys.rows.map((row) => [row.subject, row]))
    return items.map(({ sealed, subject, purpose }) => {
      try {
        const row = rows.get(subject)
        if (row?.key === null) return new Forgotten(subject, row.forgottenAt)
        if (row?.key !== sealed.key) throw new Undecryptable(subject, 'no-key')
        const ciphertext = Buffer.from(sealed.ciphertext, 'base64')
        const plaintext = decrypt(this.unwrap(keys.store, row), ciphertext, placeOf(sealed.origin, row, purpose))
        if (!plaintext) throw new Undecryptable(subject, 'altered')
        return read(plaintext)
      } catch (error) {
        if (error instanceof Undecryptable) return error
        throw error
      }
    })
  }

  /** A key for a subject that has none yet, in memory until it is stored. Throws `Invalid` for text that PostgreSQL cannot hold, `Unavailable`. */
  async begin(subject: string): Promise<NewSubject> {
    checkPayload({ subject }, '')
    const { store, origin } = await keysOf(this.pool, [])
    const dataKey = randomKey()
    const row = this.wrap(store, { subject, key: uuidv4() }, dataKey)
    return {
      seal: (purpose, bytes) => {
        const whole = measured(bytes)
        const ciphertext = encrypt(dataKey, whole, bytesPlace(origin, row, purpose)).toString('base64')
        whole.fill(0)
        return { origin, key: row.key, ciphertext }
      },
      store: async (transaction) => {
        const created = await createKey(transaction, row).catch(overtakenBy)
        if (!created) throw new Overtaken(`subject "${subject}" has a key already`)
      },
    }
  }

  /** As `openAll`, for bytes that a `NewSubject` has sealed. */
  async openBytes(items: readonly (Place & { sealed: Sealed })[]): Promise<(Buffer | Forgotten | Undecryptable)[]> {
    return this.openEach(items, bytesPlace, unmeasured)
  }

  /** A key of the subject's own for something else than sealing, such as a MAC: the same as long as the subject lives, and gone with it. Throws as `seal`. */
  async derive(subject: string, use: string): Promise<KeyObject> {
    checkPayload({ subject, use }, '')
    const { dataKey } = await this.dataKey(subject, this.pool)
    return keyOf(Buffer.from(hkdfSync('sha256', dataKey, '', `mcpctl/v1|${use}`, 32)))
  }

  /**
   * Wraps the next keys that are under another key-encryption key anew, at most `limit` of them, in the order of their subjects. Values stay as they
   * are. Each call is one short statement, so that it may end at any time and be gone on with. Throws `Unavailable`.
   */
  async rewrap({ after = '', limit }: { after?: string; limit: number }): Promise<Rewrapped> {
    const { store, rows } = await staleKeysOf(this.pool, { kek: this.wrappingId, after, limit })
    const anew = rows.map((row) => this.rewrapped(store, row))
    const wraps = anew.filter((each): each is Rewrap => !(each instanceof Undecryptable))
    const failed = anew.filter((each) => each instanceof Undecryptable)
    return { count: await replaceWraps(this.pool, wraps), failed, last: rows.at(-1)?.subject }
  }

  /**
   * Wraps the key of one subject anew, unless the current key-encryption key wraps it already; a subject that has none is left alone. As part of a READ
   * COMMITTED transaction. Answers why it stays as it is where it cannot be opened. Throws `Unavailable`.
   */
  async renew(subject: string, transaction: ClientBase): Promise<Undecryptable | undefined> {
    for (;;) {
      const { store, rows } = await keysOf(transaction, [subject])
      const [row] = rows
      if (!row || row.key === null || row.kek === this.wrappingId) return undefined
      const anew = this.rewrapped(store, row)
      if (anew instanceof Undecryptable) return anew
      // None: somebody else has wrapped it anew, or destroyed it, in between.
      if ((await replaceWraps(transaction, [anew])) > 0) return undefined
    }
  }

  private rewrapped(store: string, row: LiveKey): Rewrap | Undecryptable {
    try {
      return { from: row.kek, ...this.wrap(store, row, this.unwrap(store, row)) }
    } catch (error) {
      if (error instanceof Undecryptable) return error
      throw error
    }
  }

  /**
   * Destroys the subject's key, for ever, and leaves a tombstone. Forgetting again, or somebody unknown, succeeds. With `transaction`
   * it happens with the caller's commit: before `appendWithin`, which comes last. Throws `Invalid` for text that PostgreSQL cannot hold, `Unavailable`.
   */
  async forget(subject: string, transaction?: ClientBase): Promise<void> {
    checkPayload({ subject }, '')
    await destroyKey(transaction ?? this.pool, subject)
  }

  /**
   * Every key, wrapped for the one who holds `transportKey` instead, and every tombstone, under one MAC. The tombstones alone are what must stay
   * forgotten after an older backup is restored. Throws `Undecryptable` rather than leave a key out, `Unavailable`.
   */
  async exportKeys(transportKey: Key, { only }: { only?: 'tombstones' } = {}): Promise<ExportedKeys> {
    const transport = toKey(transportKey)
    const { store, now, rows } = await keysOf(this.pool, null)
    const wanted = only === 'tombstones' ? rows.filter(({ key }) => key === null) : rows
    const keys = wanted.map((row): ExportedKey => {
      const { subject, key } = row
      if (key === null) return { subject, forgottenAt: row.forgottenAt }
      const material = this.unwrap(store, row).export()
      return { subject, key, wrapped: encrypt(transport, material, transportPlace(subject, key)).toString('base64') }
    })
    return authenticated(transport, now, keys)
  }

  /**
   * Takes over exported keys and tombstones, all or nothing. A tombstone wins, here or there, before or after: no backup brings back who
   * was forgotten here, or in any list that was taken over. After `importEvents`, which makes another store of this one and refuses to where keys
   * are. Throws `Invalid` for a list that was altered or made with another transport key, `Conflict` when a subject has another key here, `Unavailable`.
   */
  async importKeys(exported: ExportedKeys, transportKey: Key): Promise<void> {
    const transport = toKey(transportKey)
    const items = verified(transport, exported)
    const { store } = await keysOf(this.pool, [])
    const rows = new Map<string, KeyRow>()
    for (const item of items) {
      const row = this.imported(store, transport, item)
      if (row.key === null || rows.get(item.subject)?.key !== null) rows.set(item.subject, row)
    }
    await storeKeys(this.pool, [...rows.values()])
  }

  private imported(store: string, transport: KeyObject, item: ExportedKey): KeyRow {
    const { subject } = item
    if ('forgottenAt' in item) return { subject, key: null, forgottenAt: item.forgottenAt }
    const material = decrypt(transport, Buffer.from(item.wrapped, 'base64'), transportPlace(subject, item.key))
    if (!material) throw new Undecryptable(subject, 'wrong-key')
    return this.wrap(store, { subject, key: item.key }, keyOf(material))
  }

  private async dataKey(subject: string, db: Queryable) {
    let keys = await keysOf(db, [subject])
    if (keys.rows.length === 0) {
      await createKey(db, this.wrap(keys.store, { subject, key: uuidv4() }, randomKey()))
      // Somebody else may have been faster.
      keys = await keysOf(db, [subject])
    }
    const [row] = keys.rows
    if (!row) throw new Error(`the key of subject "${subject}" is gone`)
    if (row.key === null)
      throw new DomainError('Expired', `subject "${subject}" was forgotten and can have no new values; use another one`)
    return { origin: keys.origin, row, dataKey: this.unwrap(keys.store, row) }
  }

  private wrap(store: string, { subject, key }: { subject: string; key: string }, dataKey: KeyObject) {
    const wrapped = encrypt(this.wrapping, dataKey.export(), wrapPlace(store, subject, key))
    return { subject, key, kek: this.wrappingId, wrapped, forgottenAt: null }
  }

  private unwrap(store: string, { subject, key, kek, wrapped }: KeyRow & { forgottenAt: null }): KeyObject {
    const wrapping = this.unwrapping.get(kek)
    if (!wrapping) throw new Undecryptable(subject, 'wrong-key')
    const material = decrypt(wrapping, wrapped, wrapPlace(store, subject, key))
    if (!material) throw new Undecryptable(subject, 'altered')
    return keyOf(material)
  }
}

/** A new key is in nobody's way: it was wrapped with a key-encryption key that others have retired. */
const overtakenBy = (error: unknown): never => {
  if (error instanceof DomainError && error.code === 'Conflict') throw new Overtaken(error.message, { cause: error })
  throw error
}

// The wrap is bound to the store that holds it, the value to the one in which it was sealed: values travel with the log, wraps are made anew.
const wrapPlace = (store: string, subject: string, key: string) => ['data-key', store, subject, key]
const transportPlace = (subject: string, key: string) => ['exported-key', subject, key]
type PlaceOf = (origin: string, row: { subject: string; key: string }, purpose: string) => string[]
const valuePlace: PlaceOf = (origin, { subject, key }, purpose) => ['value', origin, subject, key, purpose]
const bytesPlace: PlaceOf = (origin, { subject, key }, purpose) => ['bytes', origin, subject, key, purpose]
