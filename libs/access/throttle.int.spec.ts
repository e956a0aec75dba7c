import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { testDatabase, type TestDatabase } from '../../test/support/database'
import { Throttle } from './throttle'

let database: TestDatabase
let throttle: Throttle
/** That of another daemon on the same store. */
let other: Throttle

beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())
beforeEach(async () => {
  await database.pool.query('delete from access.attempt')
  throttle = new Throttle(database.pool)
  other = new Throttle(database.pool)
})

/** Lets so many seconds pass for what was counted. */
const wait = (seconds: number) =>
  database.pool.query(
    `update access.attempt set last_at = last_at - make_interval(secs => $1),
       blocked_until = blocked_until - make_interval(secs => $1)`,
    [seconds],
  )

const fail = (n: number, account = 'alice', address = '192.0.2.1') =>
  Promise.allSettled(Array.from({ length: n }, () => throttle.begin(account, address)))
const refusedOf = (outcomes: PromiseSettledResult<unknown>[]) =>
  outcomes.filter((outcome) => outcome.status === 'rejected').length
const waitAfter = async (account = 'alice', address = '192.0.2.1'): Promise<number> => {
  const error: unknown = await other.begin(account, address).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return (error as { details?: { retryAfter?: number } } | undefined)?.details?.retryAfter ?? 0
}

describe('whoever guesses', () => {
  it('has five tries at an account, however many he makes at once, and on all daemons together', async () => {
    expect(refusedOf(await fail(50))).toBe(45)
    expect(await waitAfter()).toBe(1)
  })

  it('waits twice as long after each further one, never for ever', async () => {
    await fail(5)
    const waits: number[] = []
    for (let n = 0; n < 12; n++) {
      const seconds = await waitAfter()
      waits.push(seconds)
      await wait(seconds)
      await throttle.begin('alice', '192.0.2.1')
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900])
    await wait(901)
    expect(refusedOf(await fail(1))).toBe(0)
  })

  it('has twenty tries a minute at all accounts together', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, n) => throttle.begin(`user-${String(n)}`, '192.0.2.1')),
    )
    expect(refusedOf(outcomes)).toBe(10)
    expect(await waitAfter('somebody')).toBeGreaterThan(50)
    await wait(60)
    expect(await waitAfter('somebody')).toBe(0)
  })

  it('does not keep others from logging in', async () => {
    await fail(50)
    expect(await waitAfter('alice', '192.0.2.2')).toBe(0)
    expect(await waitAfter('bob', '192.0.2.1')).toBe(0)
  })

  it('has one network of IPv6 for one address', async () => {
    for (let n = 0; n < 5; n++) await throttle.begin('alice', `2001:db8:1:2::${String(n)}`)
    expect(await waitAfter('alice', '2001:db8:1:2:ffff::1')).toBe(1)
    expect(await waitAfter('alice', '2001:db8:1:3::1')).toBe(0)
    await fail(5)
    expect(await waitAfter('alice', '::ffff:192.0.2.1')).toBe(1)
  })
})

describe('an attack from everywhere', () => {
  it('is slowed down, but for addresses from which the account has logged in', async () => {
    const limits = {
      account: { attempts: 5, seconds: 900, longestDelay: 900 },
      address: { attempts: 20, seconds: 60 },
      global: { attempts: 10, seconds: 60 },
    }
    const small = new Throttle(database.pool, limits)
    await (await small.begin('admin', '192.0.2.9')).succeeded()
    for (let n = 0; n < 10; n++) await small.begin('admin', `198.51.100.${String(n)}`)
    await expect(small.begin('admin', '198.51.100.77')).rejects.toMatchObject({ code: 'TooManyRequests' })
    for (let n = 0; n < 20; n++) await (await small.begin('admin', '192.0.2.9')).succeeded()
    // Who may come in has not counted, and so makes no room for others.
    await expect(small.begin('admin', '198.51.100.78')).rejects.toMatchObject({ code: 'TooManyRequests' })
  })
})

describe('who knows the password', () => {
  it('is not counted, and begins anew', async () => {
    await fail(4)
    for (let n = 0; n < 100; n++) await (await throttle.begin('alice', '192.0.2.1')).succeeded()
    expect(refusedOf(await fail(5))).toBe(0)
  })
})

it('does not count an attempt at which nobody has looked', async () => {
  for (let n = 0; n < 4; n++) await throttle.begin('alice', '192.0.2.1')
  for (let n = 0; n < 100; n++) await (await throttle.begin('alice', '192.0.2.1')).dropped().then(() => wait(1))
  expect(await waitAfter()).toBe(0)
})

it('keeps no name that was typed', async () => {
  await throttle.begin('my-password-by-mistake', '192.0.2.1')
  const { rows } = await database.pool.query<{ line: string }>('select a::text as line from access.attempt a')
  expect(rows.length).toBeGreaterThan(0)
  for (const { line } of rows) expect(line).not.toContain('mistake')
})
