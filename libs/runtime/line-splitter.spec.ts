import { describe, expect, it } from '@jest/globals'
import { LineSplitter } from './line-splitter'

describe('LineSplitter', () => {
  it('joins what arrives in pieces, also within a character', () => {
    const splitter = new LineSplitter()
    const bytes = Buffer.from('grüße\r\nrest')
    const lines = [...bytes].flatMap((byte) => splitter.push(Buffer.from([byte])))
    expect([...lines, ...splitter.end()]).toEqual(['grüße', 'rest'])
  })

  it('cuts an endless line into pieces of at most 64 KiB without tearing a character', () => {
    const splitter = new LineSplitter()
    const long = 'a' + 'ü'.repeat(100_000)
    const lines = [...splitter.push(Buffer.from(long)), ...splitter.end()]
    expect(lines.length).toBeGreaterThan(2)
    expect(lines.join('')).toBe(long)
    expect(Math.max(...lines.map((line) => Buffer.byteLength(line)))).toBeLessThanOrEqual(64 * 1024)
  })

  it('has nothing more at the end of a complete line', () => {
    const splitter = new LineSplitter()
    expect(splitter.push(Buffer.from('one\n\n'))).toEqual(['one', ''])
    expect(splitter.end()).toEqual([])
  })
})
