import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { gunzipSync, gzipSync } from 'node:zlib'
import { Canary, Search } from './support/canary'

const { value } = Canary.make()
const canary = new Search({ here: new Canary(value) })
const random = Canary.plain()
const plain = new Search({ there: random })
const bytes = Buffer.from(value)
const inBase64 = (before: string, encoding: 'base64' | 'base64url' = 'base64') =>
  Buffer.from(`${before}${value}and more`).toString(encoding)
const unicode = (text: string) =>
  text.replace(/[^]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** By programs that write these forms, not by the search's own. */
const written: [form: string, how: string, text: string | Buffer][] = [
  ['raw', 'as it is', `token=${value};`],
  ['UTF-16', 'by Windows', Buffer.from(`token=${value}`, 'utf16le')],
  ['base64, alignment 0', 'alone', inBase64('')],
  ['base64, alignment 1', 'behind one byte', inBase64('u')],
  ['base64, alignment 2', 'behind two bytes', inBase64('u:')],
  ['base64, alignment 0', 'for URLs', inBase64('abc', 'base64url')],
  ['base64, alignment 1', 'for URLs', inBase64('abcd', 'base64url')],
  ['base64, alignment 2', 'for URLs', inBase64('abcde', 'base64url')],
  ['hexadecimal', 'as PostgreSQL shows bytea', `\\x${bytes.toString('hex')}`],
  ['hexadecimal', 'in capitals', bytes.toString('hex').toUpperCase()],
  ['byte by byte', 'by inspect', inspect({ bytes })],
  ['byte by byte', 'by JSON.stringify', JSON.stringify({ bytes })],
  ['URL-escaped', 'in a path', encodeURIComponent(value)],
  ['URL-escaped', 'in a query', new URLSearchParams({ q: value }).toString()],
  ['URL-escaped', 'byte by byte', bytes.toString('hex').replace(/../g, '%$&')],
  ['JSON-escaped', 'by JSON.stringify', JSON.stringify({ token: value })],
  ['JSON-escaped', 'twice', JSON.stringify({ line: JSON.stringify({ token: value }) })],
  ['JSON-escaped', 'sign by sign', `{"token":"${unicode(value)}"}`],
  ['shell-escaped', 'in single quotes', `'${value.replaceAll("'", `'\\''`)}'`],
  ['shell-escaped', 'in double quotes', `"${value.replace(/["$`\\]/g, '\\$&')}"`],
  ['shell-escaped', 'by backslashes', value.replace(/[^A-Za-z0-9]/g, '\\$&')],
  ['reversed', 'as it is', Array.from(value).toReversed().join('')],
  ['first 8', 'cut off', `${value.slice(0, 8)}…`],
  ['last 8', 'cut off', `…${value.slice(-8)}`],
]

describe('the search for a canary', () => {
  let directory = ''
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'canary-'))
  })
  afterAll(() => rm(directory, { recursive: true }))

  it.each(written)('finds it %s, written %s', (form, _, text) => {
    const around = Buffer.concat([randomBytes(999), Buffer.from(text), randomBytes(999)])
    expect(canary.in(around, 'here').map((hit) => hit.form)).toContain(form)
    expect(plain.in(around, 'here')).toEqual([])
  })

  it('finds one of letters and digits in each of the forms that it has', () => {
    const forms = (text: string) => plain.in(text, 'here').map(({ form }) => form)
    expect(forms(random.value)).toEqual(['raw', 'first 8', 'last 8'])
    expect(forms(unicode(random.value))).toEqual(['JSON-escaped'])
    for (const before of ['', 'a', 'ab'])
      expect(forms(Buffer.from(`${before}${random.value}`).toString('base64'))).toHaveLength(1)
  })

  it('tells several apart, each at its first place', () => {
    const both = new Search({ here: new Canary(value), there: random })
    const hits = both.in(`${random.value} ${value} ${random.value}`, 'a text').filter(({ form }) => form === 'raw')
    expect(hits).toEqual([
      { canary: 'there', where: 'a text', form: 'raw', at: 0 },
      { canary: 'here', where: 'a text', form: 'raw', at: 33 },
    ])
  })

  it('finds nothing where there is nothing', () => {
    expect(canary.in(randomBytes(1024 * 1024), 'here')).toEqual([])
    expect(canary.in(gzipSync(value), 'here')).toEqual([])
    expect(canary.in(gunzipSync(gzipSync(value)), 'here')).not.toEqual([])
    expect(new Search({ other: Canary.make() }).in(value, 'here')).toEqual([])
  })

  it('makes values of 32 characters, no two alike', () => {
    for (const made of [() => Canary.make(), () => Canary.plain()].map((make) =>
      Array.from({ length: 50 }, () => make().value),
    )) {
      expect(new Set(made.map((text) => text.length))).toEqual(new Set([32]))
      expect(new Set(made).size).toBe(50)
      for (const text of made) expect(text).toMatch(/^(?=.*[0-9])(?=.*[A-Za-z])/)
    }
  })

  it('reads files across the borders of what is read at once', async () => {
    const path = join(directory, 'file')
    for (const [form, , text] of written)
      for (const before of [0, 1, 100, 127, 128, 255]) {
        await writeFile(path, Buffer.concat([Buffer.alloc(before), Buffer.from(text), Buffer.alloc(300)]))
        expect((await canary.inFile(path, 128)).map((hit) => hit.form)).toContain(form)
      }
    await writeFile(path, Buffer.concat([Buffer.alloc(777), bytes]))
    expect(await canary.inFile(path, 64)).toContainEqual({ canary: 'here', where: path, form: 'raw', at: 777 })
    expect(await canary.inFile(join(directory, 'absent'))).toEqual([])
  })

  it('reads every file of a directory, hidden ones and names too', async () => {
    await mkdir(join(directory, '.deep', 'er'), { recursive: true })
    await writeFile(join(directory, '.deep', 'er', '.hidden'), value)
    await writeFile(join(directory, `${value.slice(-8)}.txt`), '')
    const { files, hits } = await canary.inDirectory(directory)
    expect(files).toBe(3)
    expect(hits.map(({ where }) => where)).toEqual(
      expect.arrayContaining([
        join(directory, '.deep', 'er', '.hidden'),
        `name of ${join(directory, `${value.slice(-8)}.txt`)}`,
      ]),
    )
  })
})
