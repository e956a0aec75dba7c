import { describe, expect, it } from '@jest/globals'
import { RateLimit } from './rate-limit'

const clockOf = () => {
  const clock = { now: 1_000_000, read: () => clock.now }
  return clock
}

/** How many of these are let through. */
const taken = (limit: RateLimit, key: string, times: number): number => {
  let count = 0
  for (let n = 0; n < times; n++)
    try {
      limit.take(key)
      count++
    } catch {
      // Refused: not counted.
    }
  return count
}

describe('a rate', () => {
  it('lets a burst through, then so many in a second, and no more after a long rest', () => {
    const clock = clockOf()
    const limit = new RateLimit({ perSecond: 50, burst: 100 }, clock.read)
    expect(taken(limit, 'alice', 500)).toBe(100)
    clock.now += 1000
    expect(taken(limit, 'alice', 500)).toBe(50)
    clock.now += 3_600_000
    expect(taken(limit, 'alice', 500)).toBe(100)
  })

  it('is of each alone', () => {
    const limit = new RateLimit({ perSecond: 1, burst: 2 }, clockOf().read)
    expect([taken(limit, 'alice', 5), taken(limit, 'bob', 5)]).toEqual([2, 2])
  })

  it('says when to come again, and keeps its word', () => {
    const clock = clockOf()
    const limit = new RateLimit({ perSecond: 1, burst: 3 }, clock.read)
    taken(limit, 'alice', 3)
    expect(() => limit.take('alice')).toThrow('try again in 1 s')
    clock.now += 1000
    limit.take('alice')
  })

  it('of 0 is none', () => {
    expect(taken(new RateLimit({ perSecond: 0, burst: 0 }), 'alice', 10_000)).toBe(10_000)
  })

  it('remembers so many and no more, and those who are at it before others', () => {
    const clock = clockOf()
    const limit = new RateLimit({ perSecond: 1, burst: 2 }, clock.read)
    for (let n = 0; n < 99_999; n++) limit.take(`guest-${String(n)}`)
    clock.now += 1000
    expect(taken(limit, 'alice', 2)).toBe(2)
    limit.take('one more')
    expect(taken(limit, 'alice', 1)).toBe(0)
  })
})
