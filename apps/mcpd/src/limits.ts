import { isIP } from 'node:net'
import { defaultLimits as defaultLogins, type ThrottleLimits } from '@mcpctl/access'
import { UsageError } from './usage-error'

/** So many in a second, and so many at once after a rest; `perSecond` 0: without a limit. */
export interface Rate {
  perSecond: number
  burst: number
}

const defaultSettleMs = 10_000

/** How much one user, or one address, may ask of this daemon. */
export interface Limits {
  /** Requests of one user; and of one address where nobody has to say who he is. */
  requests: Rate
  /** What one user sends to MCP servers. */
  calls: Rate
  /** Failed logins, on all daemons of a store together. */
  logins: ThrottleLimits
}

/** A burst that is not told: as much as in this many seconds. */
const BURST_SECONDS = 20

const rate = (perSecond: number): Rate => ({ perSecond, burst: perSecond * BURST_SECONDS })

export const defaultLimits: Limits = { requests: rate(50), calls: rate(20), logins: defaultLogins }

/** `50` or `50:1000`, `0` for no limit. Throws UsageError. */
export const parseRate = (what: string, text: string | undefined, otherwise: Rate): Rate => {
  if (!text) return otherwise
  const [, perSecond, burst] = /^(\d{1,6})(?::([1-9]\d{0,6}))?$/.exec(text) ?? []
  if (perSecond === undefined)
    throw new UsageError(`${what} must be a number per second and a burst, like 50 or 50:1000, or 0, not "${text}"`)
  return burst === undefined ? rate(Number(perSecond)) : { perSecond: Number(perSecond), burst: Number(burst) }
}

/** Seconds, as milliseconds. Throws UsageError. */
export const parseSettle = (text: string | undefined): number => {
  if (!text) return defaultSettleMs
  const seconds = Number(text)
  if (/^\d{1,4}$/.test(text) && seconds <= 3600) return seconds * 1000
  throw new UsageError(`MCPD_SECRET_SETTLE must be a number of seconds from 0 to 3600, not "${text}"`)
}

/** `5:20:600`; what is left out at the end stays as it is. Throws UsageError. */
export const parseLoginLimit = (text: string | undefined): ThrottleLimits => {
  if (!text) return defaultLogins
  if (!/^[1-9]\d{0,6}(:[1-9]\d{0,6}){0,2}$/.test(text))
    throw new UsageError(`login limit must be one to three numbers above 0, like 5:20:600, not "${text}"`)
  const [account, address, global] = text.split(':').map(Number)
  const within = (limit: ThrottleLimits['account'], attempts = limit.attempts) => ({ ...limit, attempts })
  return {
    account: within(defaultLogins.account, account),
    address: within(defaultLogins.address, address),
    global: within(defaultLogins.global, global),
  }
}

/** Addresses or networks of proxies, like `10.0.0.7` or `10.0.0.0/8`. Throws UsageError. */
export const parseProxies = (given: readonly string[]): string[] => {
  const wrong = given.find((text) => !isNetwork(text))
  if (wrong === undefined) return [...given]
  throw new UsageError(`trusted proxy must be an address or a network like 10.0.0.0/8, not "${wrong}"`)
}

const isNetwork = (text: string): boolean => {
  const [address = '', bits, ...more] = text.split('/')
  const longest = isIP(address) === 6 ? 128 : 32
  if (isIP(address) === 0 || more.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) > 0 && Number(bits) <= longest)
}
