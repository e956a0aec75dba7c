import { describe, expect, it } from '@jest/globals'
import { hashToken, isToken, mintToken, tokenPrefix } from './token'

describe('a token', () => {
  it.each(['pat', 'ses', 'svc'] as const)('of type %s says so and can be checked without asking anybody', (type) => {
    const token = mintToken(type)
    expect(token).toMatch(new RegExp(`^mcp_${type}_[0-9A-Za-z]{49}$`))
    expect(isToken(token)).toBe(true)
  })

  it('is never minted twice', () => {
    expect(new Set(Array.from({ length: 1_000 }, () => mintToken('pat'))).size).toBe(1_000)
  })

  it('with one wrong character is none', () => {
    const token = mintToken('pat')
    for (let at = 0; at < token.length; at++) {
      const other = token[at] === 'a' ? 'b' : 'a'
      expect(isToken(token.slice(0, at) + other + token.slice(at + 1))).toBe(false)
    }
  })

  it.each(['', 'mcp_pat_', `mcp_pat_${'a'.repeat(49)}`, `mcp_xyz_${'a'.repeat(49)}`, `ghp_${'a'.repeat(36)}`])(
    'is not "%s"',
    (text) => {
      expect(isToken(text)).toBe(false)
    },
  )

  it('is stored as a hash, and shown by its first characters', () => {
    const token = mintToken('pat')
    expect(hashToken(token)).toEqual(hashToken(token))
    expect(hashToken(token)).toHaveLength(32)
    expect(hashToken(mintToken('pat'))).not.toEqual(hashToken(token))
    expect(tokenPrefix(token)).toBe(token.slice(0, 12))
  })
})
