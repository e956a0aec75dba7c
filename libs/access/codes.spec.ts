import { describe, expect, it } from '@jest/globals'
import { hashCode, isCode, mintCode } from './codes'

describe('a setup code', () => {
  it('has 100 random bits in groups that people can copy', () => {
    const codes = Array.from({ length: 500 }, mintCode)
    for (const code of codes) expect(code).toMatch(/^([2-9A-HJ-NP-Z]{4}-){4}[2-9A-HJ-NP-Z]{4}$/)
    expect(new Set(codes).size).toBe(500)
  })

  it('is the same however it is typed, and no other', () => {
    const code = mintCode()
    const stored = hashCode(code)
    expect(isCode(` ${code.toLowerCase().replaceAll('-', ' ')}`, stored)).toBe(true)
    expect(isCode(mintCode(), stored)).toBe(false)
    expect(isCode('', stored)).toBe(false)
  })
})
