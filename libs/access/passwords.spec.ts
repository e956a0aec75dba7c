import { beforeAll, describe, expect, it } from '@jest/globals'
import { Passwords } from './passwords'

const passwords = new Passwords()
let stored: string

beforeAll(async () => {
  stored = await passwords.hash('a walk on the moon 7')
})

describe('a hashed password', () => {
  it('is an argon2id string with the parameters of the day, and another one each time', async () => {
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    expect(await passwords.hash('a walk on the moon 7')).not.toBe(stored)
  })

  it('is verified as it was typed, whichever way Unicode writes it', async () => {
    expect(await passwords.verify('a walk on the moon 7', stored)).toBe(true)
    for (const wrong of ['A walk on the moon 7', 'a walk on the moon 7 ', 'a walk on the moon', ''])
      expect(await passwords.verify(wrong, stored)).toBe(false)
    const composed = await passwords.hash('caf\u00e9 au lait, please')
    expect(await passwords.verify('cafe\u0301 au lait, please', composed)).toBe(true)
  })

  it('that nobody has is wrong', async () => {
    expect(await passwords.verify('a walk on the moon 7', undefined)).toBe(false)
  })

  it('is outdated when it was made with weaker parameters, and only then', () => {
    expect(passwords.isOutdated(stored)).toBe(false)
    expect(passwords.isOutdated(stored.replace('m=19456', 'm=4096'))).toBe(true)
    expect(passwords.isOutdated(stored.replace('argon2id', 'argon2i'))).toBe(true)
  })
})

describe('B52 many at once', () => {
  it('wait in a short line, and are refused beyond it', async () => {
    const few = new Passwords({ parallel: 1, waiting: 3 })
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => few.verify('no', stored)))
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(outcomes.length - refused.length).toBe(4)
    for (const { reason } of refused)
      expect(reason).toMatchObject({ code: 'TooManyRequests', details: { retryAfter: 1 } })
    expect(await few.verify('a walk on the moon 7', stored)).toBe(true)
  })

  it('tell nothing of who has a password when the line was full as one was asked for who has none', async () => {
    const few = new Passwords({ parallel: 1, waiting: 1 })
    const line = [few.verify('no', stored), few.verify('no', stored)]
    // Refused, unless the line has gone on meanwhile.
    const outcome = await few.verify('no', undefined).catch((error: unknown) => error)
    expect([false, expect.objectContaining({ code: 'TooManyRequests' })]).toContainEqual(outcome)
    await Promise.all(line)
    expect(await few.verify('no', undefined)).toBe(false)
  })
})
