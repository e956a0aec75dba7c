import { describe, expect, it } from '@jest/globals'
import { readConfig } from './config'
import { defaultLimits } from './limits'

const limitsBy = (flags: string[], env: Record<string, string> = {}) => readConfig(flags, env).limits

describe('limits', () => {
  it('are those of the documentation unless told', () => {
    expect(limitsBy([])).toEqual(defaultLimits)
    expect(defaultLimits.requests).toEqual({ perSecond: 50, burst: 1000 })
    expect(defaultLimits.calls).toEqual({ perSecond: 20, burst: 400 })
    expect(readConfig([], {}).trustedProxies).toEqual([])
  })

  it('are told by flag, or else by variable', () => {
    expect(limitsBy(['--request-rate', '5:7'], { MCPD_REQUEST_RATE: '9' }).requests).toEqual({ perSecond: 5, burst: 7 })
    expect(limitsBy([], { MCPD_REQUEST_RATE: '9' }).requests).toEqual({ perSecond: 9, burst: 180 })
    expect(limitsBy([], { MCPD_CALL_RATE: '0', MCPD_REQUEST_RATE: '' }).calls.perSecond).toBe(0)
    const { account, address, global } = limitsBy(['--login-limit', '3:90']).logins
    expect([account.attempts, address.attempts, global.attempts]).toEqual([3, 90, 600])
    expect([account.seconds, address.seconds, account.longestDelay]).toEqual([900, 60, 900])
    const proxies = ['10.0.0.0/8', '2001:db8::1']
    expect(readConfig([], { MCPD_TRUSTED_PROXIES: proxies.join(',') }).trustedProxies).toEqual(proxies)
    expect(readConfig(['--trusted-proxy', '127.0.0.1'], {}).trustedProxies).toEqual(['127.0.0.1'])
  })

  it('say how long a secret settles', () => {
    const settle = (seconds?: string) => readConfig([], { MCPD_SECRET_SETTLE: seconds }).secretSettleMs
    expect([settle(), settle(''), settle('0'), settle('3600')]).toEqual([10_000, 10_000, 0, 3_600_000])
    for (const wrong of ['-1', '3601', '1.5', 'soon']) expect(() => settle(wrong)).toThrow(`not "${wrong}"`)
  })

  it.each([
    ['--request-rate', '-1'],
    ['--request-rate', 'fast'],
    ['--request-rate', '5:0'],
    ['--request-rate', '1e9'],
    ['--call-rate', '5:'],
    ['--login-limit', '0'],
    ['--login-limit', '1:2:3:4'],
    ['--trusted-proxy', 'proxy.example.com'],
    ['--trusted-proxy', '0.0.0.0/0'],
    ['--trusted-proxy', '10.0.0.0/33'],
    ['--trusted-proxy', '10.0.0.0/8/8'],
  ])('that mean nothing are refused with what was written: %s %s', (flag, text) => {
    expect(() => readConfig([`${flag}=${text}`], {})).toThrow(`not "${text}"`)
  })
})
