import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { numbersAreExact } from './exact-numbers'

describe('Numbers that the content hash covers', () => {
  it.each([
    '0',
    '-0',
    '0.0',
    '1.10',
    '1e21',
    '100000000000000000000',
    '1.7976931348623157e308',
    '5e-324',
    '-1.50E+3',
    '9007199254740991',
  ])('%s is read as it is written', (number) => {
    expect(numbersAreExact(`{"n": ${number}}`)).toBe(true)
    expect(numbersAreExact(`[${number},${number}]`)).toBe(true)
  })

  it.each([
    '9007199254740993',
    '1e400',
    '1e-400',
    '0.1000000000000000055',
    '1.0000000000000000001',
    '123456789012345678901',
  ])('%s is not', (number) => {
    expect(numbersAreExact(`{"n": ${number}}`)).toBe(false)
    expect(numbersAreExact(`{"a":"x", "n":[1,-${number}]}`)).toBe(false)
  })

  it('text is no number', () => {
    expect(numbersAreExact('{"text": "9007199254740993", "more": "\\" 9007199254740993, 1e400"}')).toBe(true)
  })

  it('every number that JavaScript writes is exact', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (n) =>
        numbersAreExact(`[${JSON.stringify(n)}]`),
      ),
    )
  })
})
