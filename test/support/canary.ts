import { randomInt } from 'node:crypto'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Where a canary was found, which and in which form. */
export interface Hit {
  canary: string
  where: string
  form: string
  at: number
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const alphanumeric = `${letters}0123456789`
const chunkBytes = 4 * 1024 * 1024

const random = (length: number, alphabet = alphanumeric): string =>
  Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')

/** A random row that begins with a letter and holds a digit, as tokens do. */
const row = (length: number): string => `${random(1, letters)}${random(length - 2)}${String(randomInt(10))}`

const hex = (bytes: Buffer): string[] => [bytes.toString('hex'), bytes.toString('hex').toUpperCase()]

/** What stands in any base64 that has the bytes somewhere within, by the place at which they begin modulo 3. */
const base64 = (bytes: Buffer, offset: number): string => {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64')
  return encoded.slice(Math.ceil((offset * 4) / 3), Math.floor(((offset + bytes.length) * 4) / 3))
}

const units = (text: string): number[] => Array.from({ length: text.length }, (_, index) => text.charCodeAt(index))
const escaped = (text: string, prefix: string): string[] => {
  const written = (digits: (hexadecimal: string) => string) =>
    units(text)
      .map((unit) => prefix + digits(unit.toString(16).padStart(4, '0')))
      .join('')
  return [written((each) => each), written((each) => each.toUpperCase())]
}
const percent = (bytes: Buffer): string[] => hex(bytes).map((text) => text.replace(/../g, '%$&'))

const jsonLike = (text: string): string[] => [
  JSON.stringify(text).slice(1, -1),
  JSON.stringify(text).slice(1, -1).replaceAll('/', '\\/'),
  JSON.stringify(JSON.stringify(text).slice(1, -1)).slice(1, -1),
  JSON.stringify(text)
    .slice(1, -1)
    .replace(/[^\x20-\x7e]/g, (sign) => escaped(sign, '\\u')[0] ?? ''),
]

const shellLike = (text: string): string[] => [
  text.replaceAll("'", String.raw`'\''`),
  text.replaceAll("'", `'"'"'`),
  text.replace(/["$`\\!]/g, String.raw`\$&`),
  text.replace(/["$`\\]/g, String.raw`\$&`),
  text.replace(/[^A-Za-z0-9_@%+=:,./-]/g, String.raw`\$&`),
  text.replace(/[^A-Za-z0-9]/g, String.raw`\$&`),
  text.replace(/[\\']/g, String.raw`\$&`),
]

const formsOf = (value: string): [name: string, forms: (string | Buffer)[]][] => {
  const bytes = Buffer.from(value)
  return [
    ['raw', [value]],
    ['UTF-16', [Buffer.from(value, 'utf16le'), Buffer.from(value, 'utf16le').swap16()]],
    ...[0, 1, 2].map((offset): [string, string[]] => [
      `base64, alignment ${String(offset)}`,
      [base64(bytes, offset), base64(bytes, offset).replaceAll('+', '-').replaceAll('/', '_')],
    ]),
    ['hexadecimal', hex(bytes)],
    ['byte by byte', [bytes.toString('hex').replace(/..(?=.)/g, '$& '), [...bytes].join(','), [...bytes].join(', ')]],
    [
      'URL-escaped',
      [
        encodeURIComponent(value),
        encodeURI(value),
        new URLSearchParams([['', value]]).toString().slice(1),
        ...percent(bytes),
      ],
    ],
    ['JSON-escaped', [...jsonLike(value), ...escaped(value, '\\u')]],
    ['shell-escaped', shellLike(value)],
    ['reversed', [Array.from(value).toReversed().join('')]],
    ['first 8', [value.slice(0, 8)]],
    ['last 8', [value.slice(-8)]],
  ]
}

/** A value that exists nowhere else. */
export class Canary {
  constructor(readonly value: string) {}

  /** 32 characters; each of the escaped forms differs from the raw one, and so do the first and last 8 from anything else. */
  static make(): Canary {
    return new Canary(`${row(10)}'"/${row(6)} \\$+é${row(8)}`)
  }

  /** 32 letters and digits, for places that take nothing else. */
  static plain(): Canary {
    return new Canary(row(32))
  }
}

interface Needle {
  canary: string
  form: string
  bytes: Buffer
}

const needlesOf = ([name, { value }]: [string, Canary]): Needle[] => {
  const seen = new Set<string>()
  return formsOf(value)
    .flatMap(([form, forms]) => forms.map((each) => ({ canary: name, form, bytes: Buffer.from(each) })))
    .filter(({ bytes }) => !seen.has(bytes.toString('latin1')) && seen.add(bytes.toString('latin1')))
}

/** The search for canaries in every form in which they might get out. */
export class Search {
  private readonly byStart = new Map<number, Needle[]>()
  /** By the first two bytes: most places are passed over at one look. */
  private readonly starts = new Uint8Array(0x10000)
  private readonly longest: number

  constructor(canaries: Record<string, Canary>) {
    const needles = Object.entries(canaries).flatMap(needlesOf)
    this.longest = Math.max(...needles.map(({ bytes }) => bytes.length))
    for (const needle of needles) {
      const start = needle.bytes.readUInt32BE(0)
      this.byStart.set(start, [...(this.byStart.get(start) ?? []), needle])
      this.starts[needle.bytes.readUInt16BE(0)] = 1
    }
  }

  /** Every form that is found, at its first place. */
  in(text: Buffer | string, where: string): Hit[] {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text
    const hits = new Map<string, Hit>()
    for (let at = 0; at + 4 <= bytes.length; at++) {
      if (this.starts[((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)] === 0) continue
      for (const needle of this.byStart.get(bytes.readUInt32BE(at)) ?? [])
        if (isAt(bytes, at, needle.bytes)) keep(hits, { canary: needle.canary, where, form: needle.form, at })
    }
    return [...hits.values()]
  }

  /** The same in a file of any size. One that is gone holds nothing. */
  async inFile(path: string, chunk = chunkBytes): Promise<Hit[]> {
    const file = await open(path).catch(unlessGone)
    if (!file) return []
    const hits = new Map<string, Hit>()
    try {
      let kept: Buffer = Buffer.alloc(0)
      for (let at = 0; ;) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(chunk), 0, chunk, at)
        if (bytesRead === 0) return [...hits.values()]
        const seen = Buffer.concat([kept, buffer.subarray(0, bytesRead)])
        for (const hit of this.in(seen, path)) keep(hits, { ...hit, at: at - kept.length + hit.at })
        at += bytesRead
        kept = seen.subarray(Math.max(0, seen.length - this.longest + 1))
      }
    } finally {
      await file.close()
    }
  }

  /** In every file below a directory, names of files included. Answers with the number of files that were read too. */
  async inDirectory(directory: string): Promise<{ files: number; hits: Hit[] }> {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true })
    const paths = entries.map((entry) => ({ path: join(entry.parentPath, entry.name), isFile: entry.isFile() }))
    const hits = paths.flatMap(({ path }) => this.in(path, `name of ${path}`))
    const files = paths.filter(({ isFile }) => isFile)
    for (const { path } of files) hits.push(...(await this.inFile(path)))
    return { files: files.length, hits }
  }
}

const isAt = (bytes: Buffer, at: number, wanted: Buffer): boolean =>
  at + wanted.length <= bytes.length && bytes.compare(wanted, 0, wanted.length, at, at + wanted.length) === 0

const keep = (hits: Map<string, Hit>, hit: Hit): void => {
  const key = `${hit.canary} ${hit.form}`
  if (!hits.has(key)) hits.set(key, hit)
}

const unlessGone = async (error: NodeJS.ErrnoException): Promise<undefined> => {
  if (error.code === 'ENOENT' || error.code === 'EACCES' || error.code === 'ENXIO') return undefined
  throw error
}
