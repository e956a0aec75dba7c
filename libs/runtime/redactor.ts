/** Shorter values are words of any log: replacing them would hide more than it protects. */
const SHORTEST = 8
/** Longer forms are searched for in pieces, so that little is held back and a part of a value does not show either. */
const LONGEST = 1024
const mask = Buffer.from('***')

const pieces = (form: Buffer): Buffer[] => {
  const count = Math.ceil(form.length / LONGEST)
  const size = Math.ceil(form.length / count)
  return Array.from({ length: count }, (_, index) => form.subarray(index * size, (index + 1) * size))
}

/** A form that began with one would hold back the end of every line, until the next one comes. */
const withoutLeadingLineEnds = (form: Buffer): Buffer => {
  const start = form.findIndex((byte) => byte !== 0x0a && byte !== 0x0d)
  return start === -1 ? Buffer.alloc(0) : form.subarray(start)
}

/** For each of its three alignments: the part of the value's base64 that depends on nothing else, and what it is at the end of what was encoded. */
const base64Forms = (value: Buffer): Buffer[] =>
  [0, 1, 2].flatMap((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), value]).toString('base64')
    const last = text.slice(Math.ceil((offset * 8) / 6))
    const own = last.slice(0, Math.floor(((offset + value.length) * 8) / 6) - Math.ceil((offset * 8) / 6))
    const forms = [own, last.replaceAll('=', ''), last]
    return forms
      .flatMap((each) => [each, each.replaceAll('+', '-').replaceAll('/', '_')])
      .map((each) => Buffer.from(each))
  })

const codeUnit = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
const lowerCase = (escape: string): string => escape.toLowerCase()

/** As programs write JSON (plain, in ASCII, with `/` escaped) and URLs (of RFC 3986, with `/` left, in lower case, as a form). */
const escapedForms = (text: string): string[] => {
  // Half a surrogate pair has no URL form, and no text that came from UTF-8 holds one.
  const json = JSON.stringify(text).slice(1, -1)
  const url = encodeURIComponent(text)
  const strict = url.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
  const urls = [url, strict].flatMap((each) => [each, each.replaceAll('%2F', '/'), each.replaceAll('%20', '+')])
  return [
    ...[json, json.replace(/[^\0-\x7f]/g, codeUnit)].flatMap((each) => [each, each.replaceAll('/', '\\/')]),
    ...urls.flatMap((each) => [each, each.replace(/%../g, lowerCase)]),
  ]
}

/** What a value looks like in a log: as it is, line by line, in base64 and hexadecimal, escaped for JSON and for URLs. */
const formsOf = (value: Buffer): Buffer[] => {
  const text = value.toString('utf8')
  const lines = text.split(/\r?\n/).map((line) => Buffer.from(line.trim()))
  const hex = value.toString('hex')
  const texts = [text.trim(), hex, hex.toUpperCase(), ...new Set(escapedForms(text.trim()))]
  return [value, ...lines, ...base64Forms(value), ...texts.map((each) => Buffer.from(each))]
}

/** The forms to search for, found by their first bytes. */
class Needles {
  private readonly byStart = new Map<number, Buffer[]>()
  /** By the first two bytes: most of a log is passed over at one look. */
  private readonly starts = new Uint8Array(0x10000)
  longest = 0

  constructor(values: readonly Buffer[]) {
    const all = values.filter(({ length }) => length >= SHORTEST).flatMap(formsOf)
    const pieced = all.filter(({ length }) => length >= SHORTEST).flatMap(pieces)
    const found = pieced.map(withoutLeadingLineEnds).filter(({ length }) => length >= SHORTEST)
    const different = new Map(found.map((form) => [form.toString('latin1'), form]))
    for (const form of different.values()) this.add(form)
  }

  get isEmpty(): boolean {
    return this.longest === 0
  }

  /** How many bytes from `at` on are one: the longest counts. */
  lengthAt(buffer: Buffer, at: number): number {
    const length = (needle: Buffer) => (isAt(buffer, at, needle) ? needle.length : 0)
    return this.candidates(buffer, at).reduce((longest, needle) => Math.max(longest, length(needle)), 0)
  }

  /** Whether all that is left from `at` on is the beginning of one. */
  beginsAt(buffer: Buffer, at: number): boolean {
    const rest = buffer.subarray(at)
    const isBeginning = (needle: Buffer) => needle.length > rest.length && isAt(needle, 0, rest)
    if (rest.length >= 4) return this.candidates(buffer, at).some(isBeginning)
    for (const needles of this.byStart.values()) if (needles.some(isBeginning)) return true
    return false
  }

  private candidates(buffer: Buffer, at: number): Buffer[] {
    if (at + 4 > buffer.length || this.starts[buffer.readUInt16BE(at)] === 0) return []
    return this.byStart.get(buffer.readUInt32BE(at)) ?? []
  }

  private add(form: Buffer): void {
    const start = form.readUInt32BE(0)
    const others = this.byStart.get(start)
    if (others) others.push(form)
    else this.byStart.set(start, [form])
    this.starts[form.readUInt16BE(0)] = 1
    this.longest = Math.max(this.longest, form.length)
  }
}

const isAt = (buffer: Buffer, at: number, wanted: Buffer): boolean =>
  at + wanted.length <= buffer.length && buffer.compare(wanted, 0, wanted.length, at, at + wanted.length) === 0

/**
 * Replaces secret values of at least 8 bytes by `***` in a stream of bytes, wherever its chunks are cut: as they are, line by line, in base64 and
 * hexadecimal, escaped for JSON and for URLs. What may be the beginning of one, 1 KiB at most, is held back until it is known. Best effort: a program
 * can always write a value in a form that nobody looks for.
 */
export class Redactor {
  private readonly needles: Needles
  private held: Buffer = Buffer.alloc(0)
  /** How many of the bytes held belong to what is replaced already. */
  private covered = 0

  constructor(values: readonly Buffer[]) {
    this.needles = new Needles(values)
  }

  push(chunk: Buffer): Buffer {
    if (this.needles.isEmpty || chunk.length === 0) return chunk
    const buffer = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk])
    return this.redact(buffer, this.firstOpen(buffer))
  }

  /** What was held back; the beginning of a value is replaced too. */
  end(): Buffer {
    const rest = this.held
    if (rest.length < SHORTEST) return this.redact(rest, rest.length)
    return this.covered > 0 ? Buffer.alloc(0) : mask
  }

  /** Where something begins that only what follows can tell. */
  private firstOpen(buffer: Buffer): number {
    for (let at = Math.max(0, buffer.length - this.needles.longest + 1); at < buffer.length; at++)
      if (this.needles.beginsAt(buffer, at)) return at
    return buffer.length
  }

  /** Answers with what stands before `end`; a value that reaches beyond it is remembered as covered. */
  private redact(buffer: Buffer, end: number): Buffer {
    const out: Buffer[] = []
    let plain = this.covered
    let cover = this.covered
    for (let at = 0; at < end; at++) {
      const length = this.needles.lengthAt(buffer, at)
      if (length === 0) continue
      if (at > cover || cover === 0) out.push(buffer.subarray(plain, at), mask)
      cover = Math.max(cover, at + length)
      plain = cover
    }
    if (plain < end) out.push(buffer.subarray(plain, end))
    // A copy, so that a short rest does not keep a long chunk alive.
    this.held = Buffer.from(buffer.subarray(end))
    this.covered = Math.max(0, cover - end)
    return Buffer.concat(out)
  }
}

/** The same for one text that is whole. */
export const redactText = (values: readonly Buffer[], text: string): string => {
  const redactor = new Redactor(values)
  return Buffer.concat([redactor.push(Buffer.from(text)), redactor.end()]).toString('utf8')
}
