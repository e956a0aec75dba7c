import { describe, expect, it } from '@jest/globals'
import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { canonical } from './canonical'

const json = fc.jsonValue({ maxDepth: 6, noUnicodeString: false })
const storable = json.filter((value) => !/\\u(0000|d[89a-f])/.test(JSON.stringify(value)))

describe('The canonical form', () => {
  it('is the one of RFC 8785, as another implementation writes it', () => {
    fc.assert(fc.property(storable, (value) => canonical(value, '') === canonicalize(value)))
  })

  it('reads back as what was given, whatever the keys and the text', () => {
    const odd = {
      '': 1,
      __proto: { b: -0, a: 1e21 },
      '€': ['\u2028', '\b', '"\\u0000"', 'Ａ', '😀'],
      '😀': null,
      é: 0.1,
    }
    expect(JSON.parse(canonical(odd, ''))).toEqual(JSON.parse(JSON.stringify(odd)))
    expect(canonical(odd, '')).toBe(canonicalize(odd))
  })

  it('takes what is plain but of another make', () => {
    const bare = Object.assign(Object.create(null) as object, { b: 1, a: [Object.create(null)] })
    expect(canonical(bare, '')).toBe('{"a":[{}],"b":1}')
    const deep = (depth: number): unknown => (depth === 0 ? 'end' : { in: deep(depth - 1) })
    expect(canonical(deep(90), '')).toBe(canonicalize(deep(90)))
    expect(() => canonical(deep(101), '/data')).toThrow('nested deeper than 100 levels')
  })

  it.each([
    ['undefined', { a: { b: undefined } }, '/data/a/b'],
    ['NaN', { a: [1, NaN] }, '/data/a/1'],
    ['a Date', { at: new Date(0) }, '/data/at'],
    ['a Map', { m: new Map() }, '/data/m'],
    ['a bigint', { n: 1n }, '/data/n'],
    ['a hole', { list: Object.assign([], { length: 1 }) }, '/data/list/0'],
    ['toJSON', { o: { toJSON: () => 1 } }, '/data/o'],
    ['U+0000', { 'a/b': 'x\u0000' }, '/data/a~1b'],
    ['half a pair', { s: '\ud800' }, '/data/s'],
    ['half a pair as a key', { '\udc00': 1 }, '/data'],
  ])('refuses %s and points to it', (_, value, pointer) => {
    expect(() => canonical(value, '/data')).toThrow(`${pointer}: `)
  })
})
