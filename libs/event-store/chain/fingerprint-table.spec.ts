import { hash } from 'node:crypto'
import { describe, expect, it } from '@jest/globals'
import { FingerprintTable } from './fingerprint-table'

describe('A table of fingerprints', () => {
  it('keeps what a map keeps, however much it grows', () => {
    const table = new FingerprintTable()
    const map = new Map<string, number>()
    for (let i = 1; i <= 20_000; i++) {
      const key = hash('sha256', String(i % 13_000)).slice(0, 32)
      expect(table.exchange(key, i)).toBe(map.get(key) ?? 0)
      map.set(key, i)
    }
  })

  it('tells keys apart that begin and end alike', () => {
    const table = new FingerprintTable()
    const keys = ['0', '1', '2', 'f'].map((digit) => `00000000${digit.repeat(16)}00000000`)
    for (const [i, key] of keys.entries()) expect(table.exchange(key, i + 1)).toBe(0)
    for (const [i, key] of keys.entries()) expect(table.exchange(key, 9)).toBe(i + 1)
  })
})
