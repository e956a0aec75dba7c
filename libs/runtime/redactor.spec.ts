import { describe, expect, it } from '@jest/globals'
import { Redactor, redactText } from './redactor'

const value = 'gh?tok/+en~"8é\\z'
const secrets = [Buffer.from(value)]
const around = (form: string) => [`before ${form} after`, 'before *** after'] as const

const through = (values: readonly Buffer[], text: Buffer, cut: (rest: Buffer) => number): string => {
  const redactor = new Redactor(values)
  const out: Buffer[] = []
  for (let rest = text; rest.length > 0;) {
    const size = cut(rest)
    out.push(redactor.push(rest.subarray(0, size)))
    rest = rest.subarray(size)
  }
  return Buffer.concat([...out, redactor.end()]).toString('utf8')
}

describe('a redactor', () => {
  it.each([
    ['the value', ...around(value)],
    ['JSON', ...around(JSON.stringify(value).slice(1, -1))],
    ['JSON in ASCII', ...around('gh?tok/+en~\\"8\\u00e9\\\\z')],
    ['JSON with its slash escaped', ...around('gh?tok\\/+en~\\"8é\\\\z')],
    ['a URL', ...around(encodeURIComponent(value))],
    ['a URL in lower case', ...around('gh%3ftok%2f%2ben~%228%c3%a9%5cz')],
    ['a URL with its slash left', ...around('gh%3Ftok/%2Ben~%228%C3%A9%5Cz')],
    ['hexadecimal', ...around(Buffer.from(value).toString('hex'))],
    ['hexadecimal in capitals', ...around(Buffer.from(value).toString('hex').toUpperCase())],
  ])('replaces %s', (_, text, expected) => {
    expect(redactText(secrets, text)).toBe(expected)
  })

  it('replaces a value with spaces and brackets in a form and in a strict URL', () => {
    const shown = redactText(
      [Buffer.from('open (sesame)!')],
      'a=open+%28sesame%29%21&b=open%20%28sesame%29%21&c=open+(sesame)!',
    )
    expect(shown).toBe('a=***&b=***&c=***')
  })

  it.each([0, 1, 2])('replaces the value in base64 behind %i other bytes', (count) => {
    const bytes = Buffer.from(`${'u:x'.slice(0, count)}${value}:more`)
    for (const encoding of ['base64', 'base64url'] as const) {
      const shown = redactText(secrets, bytes.toString(encoding))
      expect(shown).toMatch(/^[\w+/-]{0,4}\*{3}[\w+/=-]{5,10}$/)
      expect(Buffer.from(shown.replace('***', ''), encoding).toString('latin1')).not.toContain('tok')
    }
  })

  it('replaces each line of a value of several lines, alone or together', () => {
    const pem = '-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n'
    expect(redactText([Buffer.from(pem)], `key: ${pem}end`)).toBe('key: ***end')
    expect(redactText([Buffer.from(pem)], '| kqhkiG9w0BAQEF |\n| MIIEvQIBADANBg |')).toBe('| *** |\n| *** |')
  })

  it('holds back no end of a line, whatever begins with one', () => {
    const values = [Buffer.from('\n\r\nsecret-secret\n'), Buffer.from(`${'a'.repeat(600)}\n${'b'.repeat(599)}`)]
    expect(new Redactor(values).push(Buffer.from('ready\n')).toString()).toBe('ready\n')
    for (const value of values) expect(redactText([value], `x${String(value)}y`)).toMatch(/^x[\r\n*]+y$/)
  })

  it('leaves what is shorter than 8 bytes, and everything where there is no secret', () => {
    expect(redactText([Buffer.from('1234567')], '1234567 12345678')).toBe('1234567 12345678')
    expect(redactText([], value)).toBe(value)
    expect(redactText([Buffer.alloc(0)], value)).toBe(value)
  })

  it('replaces values that touch or overlap as one', () => {
    const both = [Buffer.from('12345678abcdefgh'), Buffer.from('abcdefghXYZ')]
    expect(redactText(both, '-12345678abcdefghXYZ-')).toBe('-***-')
    expect(redactText(both, '-abcdefghXYZabcdefghXYZ-')).toBe('-***-')
    expect(redactText([Buffer.from('abcdefgh'), Buffer.from('abcdefghijkl')], 'abcdefghijk abcdefghijkl')).toBe(
      '***ijk ***',
    )
  })

  it('replaces the beginning of a value at the end of the output, from 8 bytes on', () => {
    expect(redactText(secrets, `x ${value.slice(0, 9)}`)).toBe('x ***')
    expect(redactText(secrets, `x ${value.slice(0, 7)}`)).toBe(`x ${value.slice(0, 7)}`)
  })

  it('replaces a value of 64 KiB, or any 2 KiB of it, and bytes that are no text', () => {
    const long = Buffer.from(Array.from({ length: 64 * 1024 }, (_, index) => (index * index + (index >> 7)) % 251))
    expect(redactText([long], 'a')).toBe('a')
    const shown = (part: Buffer) =>
      through([long], Buffer.concat([Buffer.from('<'), part, Buffer.from('>')]), () => 999)
    expect(shown(long)).toMatch(/^<(\*\*\*)+>$/)
    expect(shown(long.subarray(30_000, 32_048))).toContain('***')
  })

  it('finds a value wherever the output is cut', () => {
    const text = Buffer.from(`one ${value} two ${secrets[0]?.toString('base64') ?? ''} three ${value}${value}\n`)
    const whole = through(secrets, text, () => text.length)
    expect(whole).toMatch(/^one \*{3} two \*{3} three \*{3}\n$/)
    for (let first = 1; first < text.length; first++) {
      const once = through(secrets, text, (rest) => (rest.length === text.length ? first : rest.length))
      expect(once.replaceAll('******', '***')).toBe(whole)
    }
    for (const size of [1, 2, 3, 5, 7])
      expect(through(secrets, text, () => size).replaceAll('******', '***')).toBe(whole)
  })

  it('holds nothing back that cannot be the beginning of a value', () => {
    const redactor = new Redactor(secrets)
    expect(redactor.push(Buffer.from('a line\n')).toString()).toBe('a line\n')
    expect(redactor.push(Buffer.from('a gh?')).toString()).toBe('a ')
    expect(redactor.push(Buffer.from('!\n')).toString()).toBe('gh?!\n')
  })

  it('is done in time with output made to be slow to search', () => {
    const same = Buffer.alloc(64 * 1024, 'a')
    const started = performance.now()
    expect(through([same], Buffer.alloc(1024 * 1024, 'a'), () => 64 * 1024)).toMatch(/^(\*\*\*)+a?/)
    expect(performance.now() - started).toBeLessThan(30_000)
  })
})
