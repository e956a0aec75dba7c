import { describe, expect, it } from '@jest/globals'
import { parseCpu, parseMemory } from './quantity'

describe('quantity', () => {
  it.each([
    ['512Mi', 536_870_912],
    ['1G', 1_000_000_000],
    ['1.5Ki', 1536],
    ['1048576', 1_048_576],
    ['512mi', undefined],
    ['-1Mi', undefined],
    ['0', undefined],
    ['1e9', undefined],
    ['', undefined],
  ])('%s of memory is %s bytes', (text, bytes) => {
    expect(parseMemory(text)).toBe(bytes)
  })

  it.each([
    ['1', 1_000_000_000],
    ['500m', 500_000_000],
    ['0.25', 250_000_000],
    ['0', undefined],
    ['1 cpu', undefined],
  ])('%s of CPU is %s billionths', (text, nano) => {
    expect(parseCpu(text)).toBe(nano)
  })
})
