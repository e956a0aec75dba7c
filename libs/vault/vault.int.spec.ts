import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Forgotten, Overtaken, Undecryptable } from '@mcpctl/event-store'
import { inTransaction } from '@mcpctl/postgres'
import type { Pool, QueryConfig } from 'pg'
import { v7 as uuidv7 } from 'uuid'
import { testDatabase, type TestDatabase } from '../../test/support/database'
import { KeyFile } from './key-file'
import { newKek } from './kek-source'
import { SecretValue } from './secret-value'
import type { SealedValue } from './types'
import { Vault } from './vault'

const values = (texts: Record<string, string>) =>
  new Map(Object.entries(texts).map(([key, text]) => [key, SecretValue.ofText(text)]))

describe('A vault', () => {
  let database: TestDatabase
  let folder: string
  let path: string
  let vault: Vault
  let uid: string

  beforeAll(() => {
    uid = uuidv7()
  })
  beforeEach(async () => {
    database = await testDatabase()
    folder = await mkdtemp(join(tmpdir(), 'vault-'))
    path = join(folder, 'keys', 'kek')
    vault = new Vault(database.pool, new KeyFile(path))
  })
  afterEach(async () => {
    await database.close()
    await rm(folder, { recursive: true, force: true })
  })

  const another = (file = path) => new Vault(database.pool, new KeyFile(file))
  const sealed = async (version: number, texts: Record<string, string>, by = vault) => {
    const { values: found, store } = await by.seal(uid, version, values(texts))
    await inTransaction(database.pool, store)
    return found
  }
  const opened = async (version: number, found: Record<string, SealedValue>, by = vault) => {
    const answer = await by.open(uid, version, found)
    return Object.fromEntries(
      [...answer].map(([key, value]) => [key, value instanceof SecretValue ? value.text() : value]),
    )
  }
  const changed = (value: SealedValue | undefined, change: (bytes: Buffer) => Buffer): SealedValue => {
    if (!value) throw new Error('no value')
    const bytes = change(Buffer.from(value.ciphertext.ciphertext, 'base64'))
    return { ...value, ciphertext: { ...value.ciphertext, ciphertext: bytes.toString('base64') } }
  }

  it('opens what it has sealed, text and bytes, and any length', async () => {
    const bytes = randomBytes(64 * 1024)
    const found = await vault.seal(
      uid,
      1,
      new Map([...values({ empty: '', text: 'grün\n' }), ['bytes', new SecretValue(bytes, true)]]),
    )
    await inTransaction(database.pool, found.store)
    expect(await opened(1, found.values)).toEqual({ empty: '', text: 'grün\n', bytes: bytes.toString('base64') })
  })

  it('hides the length of a value but for the next 64 bytes', async () => {
    const { a, b, c } = await sealed(1, { a: '', b: 'x'.repeat(60), c: 'x'.repeat(61) })
    const length = (value?: SealedValue) => value?.ciphertext.ciphertext.length
    expect(length(a)).toBe(length(b))
    expect(length(c)).toBeGreaterThan(length(b) ?? 0)
  })

  it('makes its first key in a file that only its owner may read', async () => {
    expect(await vault.state()).toMatchObject({ status: 'ready' })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(folder, 'keys'))).mode & 0o777).toBe(0o700)
    expect(await readdir(join(folder, 'keys'))).toEqual(['kek'])
  })

  it('leaves no draft of the file, also not one of a daemon that was killed', async () => {
    await vault.state()
    const [old, young, other] = ['.kek-0123456789ab', '.kek-ba9876543210', '.kek-notes'].map((name) =>
      join(folder, 'keys', name),
    ) as [string, string, string]
    for (const draft of [old, young, other]) await writeFile(draft, 'x')
    for (const draft of [old, other]) await utimes(draft, new Date(0), new Date(0))
    await vault.rotate()
    expect((await readdir(join(folder, 'keys'))).sort()).toEqual(['.kek-ba9876543210', '.kek-notes', 'kek'])
  })

  it.each<[string, () => Promise<unknown>]>([
    ['was deleted', () => rm(path)],
    ['was replaced by that of another store', () => new KeyFile(path).save([newKek()])],
  ])('rotates no keys while the file in which they are kept %s: what they wrap would be lost', async (_, lose) => {
    const found = await sealed(1, { a: 'text' })
    const file = await readFile(path)
    await lose()
    await expect(vault.rotate()).rejects.toThrow(`${path} does not hold the key`)
    await writeFile(path, file, { mode: 0o600 })
    await vault.rotate()
    expect(await opened(1, found, another())).toEqual({ a: 'text' })
  })

  it('agrees with those who start at the same time on one key', async () => {
    const vaults = Array.from({ length: 8 }, () => another())
    const states = await Promise.all(vaults.map((each) => each.state()))
    expect(new Set(states.map((state) => JSON.stringify(state))).size).toBe(1)
    expect(states[0]).toMatchObject({ status: 'ready' })
  })

  describe('refuses', () => {
    it.each<[string, (one: Record<string, SealedValue>, other: Record<string, SealedValue>) => SealedValue]>([
      ['a value of another key', ({ b }) => b as SealedValue],
      ['a value of another version', (_, { a }) => a as SealedValue],
      ['a tag of four bytes', ({ a }) => changed(a, (bytes) => bytes.subarray(0, -12))],
      [
        'a nonce of another value',
        ({ a, b }) =>
          changed(a, (bytes) =>
            Buffer.concat([Buffer.from(b?.ciphertext.ciphertext ?? '', 'base64').subarray(0, 12), bytes.subarray(12)]),
          ),
      ],
      [
        'a flipped bit',
        ({ a }) => changed(a, (bytes) => Buffer.from(bytes.map((byte, nth) => (nth === 20 ? byte ^ 1 : byte)))),
      ],
      ['nothing', ({ a }) => changed(a, () => Buffer.alloc(0))],
    ])('%s, and opens the others', async (_, forge) => {
      const one = await sealed(1, { a: 'first', b: 'second' })
      const other = await sealed(2, { a: 'third' })
      const answer = await opened(1, { ...one, a: forge(one, other) })
      expect(answer['a']).toBeInstanceOf(Undecryptable)
      expect(answer['b']).toBe('second')
      expect(inspect(answer['a'])).not.toMatch(/first|second|third/)
    })

    it('a value of another secret', async () => {
      const found = await sealed(1, { a: 'mine' })
      const mine = uid
      uid = uuidv7()
      await sealed(1, { a: 'yours' })
      expect((await opened(1, found))['a']).toBeInstanceOf(Undecryptable)
      uid = mine
    })

    it('a value of another store', async () => {
      const found = await sealed(1, { a: 'mine' })
      const other = await testDatabase()
      try {
        const there = new Vault(other.pool, new KeyFile(path))
        // The other store takes the key file of this one over as its own.
        await inTransaction(other.pool, (await there.seal(uid, 1, values({ a: 'theirs' }))).store)
        expect((await there.open(uid, 1, found)).get('a')).toBeInstanceOf(Undecryptable)
      } finally {
        await other.close()
      }
    })

    it('a second key for the same version', async () => {
      await sealed(1, { a: 'one' })
      const { store } = await vault.seal(uid, 1, values({ a: 'two' }))
      await expect(inTransaction(database.pool, store)).rejects.toBeInstanceOf(Overtaken)
    })
  })

  it('shreds versions for ever, without any key, and only those', async () => {
    const [first, second] = [await sealed(1, { a: 'one' }), await sealed(2, { a: 'two' })]
    await rm(path)
    await inTransaction(database.pool, (transaction) => another().shred(uid, [1], transaction))
    expect(await another().keysOf([uid, 'unknown'])).toEqual(
      new Map([[uid, [{ version: 2, kek: expect.any(String), usable: false }]]]),
    )
    await rm(join(folder, 'keys'), { recursive: true })
    expect((await opened(1, first))['a']).toBeInstanceOf(Forgotten)
    expect((await opened(2, second))['a']).toBe('two')
  })

  describe('tells a change by its fingerprint', () => {
    const print = async (key: string, text: string, of = uid, by = vault) =>
      (await by.fingerprints(of, values({ [key]: text }))).get(key)

    it('which is the same for the same value only, of one key of one secret in one store', async () => {
      const mine = await print('a', 'value')
      expect(mine).toMatch(/^[0-9a-f]{64}$/)
      expect(await print('a', 'value', uid, another())).toBe(mine)
      const others = [await print('a', 'other'), await print('b', 'value'), await print('a', 'value', uuidv7())]
      expect(new Set([mine, ...others]).size).toBe(4)
      const sealedPrints = await sealed(1, { a: 'value' })
      expect(sealedPrints['a']?.fingerprint).toBe(mine)
    })

    it('also after the key-encryption key was rotated', async () => {
      const before = await print('a', 'value')
      await vault.rotate()
      for await (const _ of vault.rewrap());
      expect(await print('a', 'value')).toBe(before)
    })
  })

  describe('without its key', () => {
    const closed = async (reason: string, words: RegExp) => {
      const found = another()
      expect(await found.state()).toMatchObject({ status: 'closed', reason, message: expect.stringMatching(words) })
      await expect(found.seal(uid, 9, values({ a: 'x' }))).rejects.toMatchObject({ code: 'Unavailable' })
      await expect(found.open(uid, 1, {})).rejects.toMatchObject({ code: 'Unavailable' })
    }

    it('is closed, makes no other one, and opens when the key is back', async () => {
      const found = await sealed(1, { a: 'one' })
      const file = await readFile(path)
      await rm(path)
      const without = another()
      expect(await without.state()).toMatchObject({ status: 'closed', reason: 'KekMissing' })
      await closed('KekMissing', /put the file back/)
      await expect(stat(path)).rejects.toThrow()
      await writeFile(path, file, { mode: 0o600 })
      expect(await opened(1, found, without)).toEqual({ a: 'one' })
    })

    it('is closed with another one', async () => {
      await vault.state()
      const elsewhere = await testDatabase()
      const other = join(folder, 'other')
      await new Vault(elsewhere.pool, new KeyFile(other)).state()
      await elsewhere.close()
      await writeFile(path, await readFile(other))
      await closed('KekWrong', /does not hold the key/)
    })

    it.each<[string, () => Promise<void>, RegExp]>([
      ['others may read', () => chmod(path, 0o640), /mode 0640.*chmod 600/],
      ['is no key file', () => writeFile(path, 'hunter2 is no key'), /no key file/],
      [
        'has a short key',
        async () => writeFile(path, (await readFile(path, 'utf8')).replace(/"key": ".{8}/, '"key": "')),
        /32 bytes/,
      ],
      [
        'has a key under another id',
        async () => writeFile(path, (await readFile(path, 'utf8')).replace(/"id": "./, '"id": "z')),
        /id/,
      ],
    ])('is closed with a file that %s, and says so without showing it', async (_, spoil, words) => {
      await vault.state()
      const [content] = /"key": "[^"]+/.exec(await readFile(path, 'utf8')) ?? ['']
      await spoil()
      await closed('KekWrong', words)
      const state = await another().state()
      expect(JSON.stringify(state)).not.toContain(content.slice(8))
      expect(JSON.stringify(state)).not.toContain('hunter2')
    })
  })

  describe('whose key is rotated', () => {
    it('opens what was sealed before and after, here and in a daemon that was there before', async () => {
      const second = another()
      const before = await sealed(1, { a: 'one' }, second)
      const { from, to } = await vault.rotate()
      expect(await vault.state()).toEqual({ status: 'ready', kek: to })
      const after = await sealed(2, { a: 'two' })
      for (const each of [vault, second, another()]) {
        expect(await opened(1, before, each)).toEqual({ a: 'one' })
        expect(await opened(2, after, each)).toEqual({ a: 'two' })
      }
      const { keks, stale } = await vault.status()
      expect(keks.map(({ id, current, present }) => ({ id, current, present }))).toEqual([
        { id: from, current: false, present: true },
        { id: to, current: true, present: true },
      ])
      // Version 1; the key of fingerprints is wrapped anew with the rotation.
      expect(stale).toBe(1)
    })

    it('writes secrets without the older key, also when nothing else was wrapped anew before that was lost', async () => {
      const before = await sealed(1, { a: 'one' })
      const { from } = await vault.rotate()
      const { keys, ...rest } = JSON.parse(await readFile(path, 'utf8')) as { keys: { id: string }[] }
      await writeFile(path, JSON.stringify({ ...rest, keys: keys.filter(({ id }) => id !== from) }))
      const restarted = another()
      const after = await sealed(2, { a: 'one' }, restarted)
      expect(await opened(2, after, restarted)).toEqual({ a: 'one' })
      expect(after['a']?.fingerprint).toBe(before['a']?.fingerprint)
      expect((await opened(1, before, restarted))['a']).toBeInstanceOf(Undecryptable)
      // Nor does what cannot be opened stand in the way of the next rotation.
      const { to } = await restarted.rotate()
      expect(await restarted.state()).toEqual({ status: 'ready', kek: to })
      await sealed(3, { a: 'three' }, restarted)
    })

    it('is rotated also when the key of fingerprints cannot be opened, and says so when it is wrapped anew', async () => {
      const found = await sealed(1, { a: 'one' })
      const owner = await database.connect()
      await owner.query('alter table es.subject_key disable trigger all')
      await owner.query(`update es.subject_key set wrapped = '' where subject = 'fingerprints'`)
      await owner.query('alter table es.subject_key enable trigger all')
      await vault.rotate()
      const failing = new Set<string>()
      for await (const { failed } of vault.rewrap()) for (const { subject } of failed) failing.add(subject)
      expect([...failing]).toEqual(['fingerprints'])
      expect(await opened(1, found, another())).toEqual({ a: 'one' })
    })

    it('goes on when that happens between its look at the keys and their use', async () => {
      const before = await sealed(1, { a: 'one' })
      let rotations = 0
      const slow = Object.create(database.pool) as Pool
      slow.query = (async (query: QueryConfig) => {
        if (query.name === 'es-subject-keys' && rotations++ === 0) await another().rotate()
        return database.pool.query(query)
      }) as typeof slow.query
      const prints = await new Vault(slow, new KeyFile(path)).fingerprints(uid, values({ a: 'one' }))
      expect(rotations).toBeGreaterThan(1)
      expect(prints.get('a')).toBe(before['a']?.fingerprint)
    })

    it('wraps data keys anew, leaves values as they are, and then does without the old key', async () => {
      const before = await Promise.all(
        Array.from({ length: 230 }, (_, nth) => sealed(nth + 1, { a: `value ${String(nth)}` })),
      )
      const { from } = await vault.rotate()
      const steps: number[] = []
      for await (const { done, failed } of vault.rewrap()) {
        steps.push(done)
        expect(failed).toEqual([])
      }
      expect(steps.at(-1)).toBe(230)
      expect(steps.length).toBeGreaterThan(2)
      expect(await vault.status()).toMatchObject({ stale: 0 })
      expect(await vault.retire()).toEqual([from])
      expect(await readFile(path, 'utf8')).not.toContain(from)
      for (const nth of [0, 117, 229])
        expect(await opened(nth + 1, before[nth] ?? {}, another())).toEqual({ a: `value ${String(nth)}` })
    })

    it('goes on where a rewrap was ended', async () => {
      for (let version = 1; version <= 150; version++) await sealed(version, { a: 'x' })
      await vault.rotate()
      const first = vault.rewrap()
      await first.next()
      await first.return(undefined)
      const { stale } = await vault.status()
      expect(stale).toBeGreaterThan(0)
      for await (const _ of another().rewrap());
      expect(await vault.status()).toMatchObject({ stale: 0 })
    })

    it('leaves nothing under an older key when another daemon rotates while data keys are wrapped anew', async () => {
      for (let version = 1; version <= 150; version++) await sealed(version, { a: 'x' })
      await vault.rotate()
      const going = vault.rewrap()
      expect(await going.next()).toMatchObject({ value: { done: 100 } })
      const { to } = await another().rotate()
      for await (const { failed } of going) expect(failed).toEqual([])
      const { keks, stale } = await vault.status()
      expect([stale, keks.at(-1)]).toEqual([0, expect.objectContaining({ id: to, dataKeys: 151 })])
    })

    it('keeps a key that still wraps something, and what was forgotten stays forgotten', async () => {
      const gone = await sealed(1, { a: 'x' })
      await inTransaction(database.pool, (transaction) => vault.shred(uid, [1], transaction))
      const kept = await sealed(2, { a: 'y' })
      await vault.rotate()
      expect(await vault.retire()).toEqual([])
      for await (const _ of vault.rewrap());
      expect((await opened(1, gone))['a']).toBeInstanceOf(Forgotten)
      expect(await opened(2, kept)).toEqual({ a: 'y' })
    })
  })

  describe('whose key is rotated by several at once', () => {
    it('keeps every key that was announced', async () => {
      const found = await sealed(1, { a: 'one' })
      await Promise.all(Array.from({ length: 6 }, () => another().rotate()))
      const { keks } = await vault.status()
      expect(keks).toHaveLength(7)
      expect(keks.every(({ present }) => present)).toBe(true)
      for await (const _ of another().rewrap());
      expect(await vault.retire()).toHaveLength(6)
      expect(await opened(1, found, another())).toEqual({ a: 'one' })
    })

    it('stays what it was when that cannot be recorded', async () => {
      const before = await vault.state()
      const refuse = () => Promise.reject(new Error('no log today'))
      await expect(vault.rotate(refuse)).rejects.toThrow('no log today')
      expect(await vault.state()).toEqual(before)
      await vault.rotate()
      for await (const _ of vault.rewrap());
      await expect(vault.retire(refuse)).rejects.toThrow('no log today')
      expect((await vault.status()).keks).toHaveLength(2)
      expect((JSON.parse(await readFile(path, 'utf8')) as { keys: unknown[] }).keys).toHaveLength(3)
    })

    it('stays what it was when the new one cannot be kept', async () => {
      const before = await vault.state()
      await rm(path)
      await mkdir(path)
      await expect(vault.rotate()).rejects.toMatchObject({
        code: 'Unavailable',
        message: expect.stringContaining(path),
      })
      expect(await vault.state()).toEqual(before)
    })

    it('opens all the while that it seals, and goes on from another daemon', async () => {
      const all: Record<string, SealedValue>[] = []
      // As every request that is overtaken is decided again.
      const persistently = <T>(work: () => Promise<T>): Promise<T> =>
        work().catch((error: unknown) => {
          if (error instanceof Overtaken) return persistently(work)
          throw error
        })
      const load = async () => {
        for (let version = 1; version <= 60; version++) {
          all.push(await persistently(() => sealed(version, { a: String(version) }, version % 2 ? vault : another())))
          expect(await opened(version, all.at(-1) ?? {})).toEqual({ a: String(version) })
        }
      }
      const turn = async () => {
        for (let round = 0; round < 4; round++) {
          await another().rotate()
          for await (const _ of another().rewrap());
          await another().retire()
        }
      }
      await Promise.all([load(), turn()])
      for await (const _ of vault.rewrap());
      await vault.retire()
      expect((await vault.status()).keks).toHaveLength(1)
      for (const [nth, found] of all.entries())
        expect(await opened(nth + 1, found, another())).toEqual({ a: String(nth + 1) })
    })
  })

  it('opens what an older key wraps as soon as that key is back in the file', async () => {
    const before = await sealed(1, { a: 'one' })
    await vault.state()
    await vault.rotate()
    const both = await readFile(path, 'utf8')
    const { keys, ...rest } = JSON.parse(both) as { keys: unknown[] }
    await writeFile(path, JSON.stringify({ ...rest, keys: keys.slice(1) }))
    const half = another()
    expect(await half.state()).toMatchObject({ status: 'ready' })
    expect((await opened(1, before, half))['a']).toBeInstanceOf(Undecryptable)
    expect(await half.keysOf([uid])).toEqual(new Map([[uid, [expect.objectContaining({ usable: false })]]]))
    await writeFile(path, both)
    expect(await opened(1, before, half)).toEqual({ a: 'one' })
  })

  it('refuses an older row of a data key that was put back', async () => {
    const owner = await database.connect()
    const row = async () =>
      (await owner.query('select wrapped, kek_id from es.subject_key where subject = $1', [`${uid}/1`])).rows[0] as {
        wrapped: Buffer
        kek_id: string
      }
    const found = await sealed(1, { a: 'one' })
    await sealed(2, { a: 'two' })
    const other = await owner.query<{ wrapped: Buffer }>('select wrapped from es.subject_key where subject = $1', [
      `${uid}/2`,
    ])
    await owner.query('alter table es.subject_key disable trigger all')
    const own = await row()
    const put = (wrapped: Buffer, kek = own.kek_id) =>
      owner.query('update es.subject_key set wrapped = $1, kek_id = $2 where subject = $3', [wrapped, kek, `${uid}/1`])
    // The key of another version, and a wrap that was cut.
    for (const wrapped of [other.rows[0]!.wrapped, own.wrapped.subarray(0, -12), Buffer.alloc(0)]) {
      await put(wrapped)
      expect((await opened(1, found))['a']).toBeInstanceOf(Undecryptable)
    }
    await put(own.wrapped)
    await vault.rotate()
    for await (const _ of vault.rewrap());
    await vault.retire()
    // The wrap of before under the name of the key-encryption key of now, and under its own.
    const { kek_id: now } = await row()
    for (const kek of [now, own.kek_id]) {
      await put(own.wrapped, kek)
      expect((await opened(1, found))['a']).toBeInstanceOf(Undecryptable)
    }
  })

  it('follows a link to the file, and replaces the file, not the link', async () => {
    await vault.state()
    const other = join(folder, 'link')
    await symlink(path, other)
    const { to } = await another(other).rotate()
    expect(await vault.state()).toEqual({ status: 'ready', kek: to })
  })
})
