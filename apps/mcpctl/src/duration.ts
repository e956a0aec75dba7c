import { usage } from './errors'

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of `30s`, `1h30m`, `500ms`, or of a bare number of seconds. Throws a usage error that names the flag. */
export const parseDuration = (text: string, flag: string): number => {
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  const whole = parts.map(([part]) => part).join('')
  if (parts.length === 0 || whole !== text)
    throw usage(`invalid argument "${text}" for ${flag}: write a duration like 30s, 5m or 1h30m`)
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (units[unit ?? ''] ?? 0), 0)
}

/** The same, for a time limit: a negative one means a week, as in kubectl. */
export const parseTimeout = (text: string, flag = '--timeout'): number => {
  const milliseconds = parseDuration(text, flag)
  return milliseconds < 0 ? 7 * 86_400_000 : milliseconds
}
