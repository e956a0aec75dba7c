const minute = 60
const hour = 60 * minute
const day = 24 * hour
const year = 365 * day

const pair = (seconds: number, [big, bigSign]: [number, string], [small, smallSign]: [number, string]): string => {
  const rest = Math.floor((seconds % big) / small)
  return `${String(Math.floor(seconds / big))}${bigSign}${rest === 0 ? '' : `${String(rest)}${smallSign}`}`
}

/** Seconds as kubectl shows an age: two units while the second one still matters. */
export const humanDuration = (seconds: number): string => {
  const s = Math.floor(seconds)
  if (s < -1) return '<invalid>'
  if (s < 2 * minute) return `${String(Math.max(0, s))}s`
  if (s < 10 * minute) return pair(s, [minute, 'm'], [1, 's'])
  if (s < 3 * hour) return `${String(Math.floor(s / minute))}m`
  if (s < 8 * hour) return pair(s, [hour, 'h'], [minute, 'm'])
  if (s < 2 * day) return `${String(Math.floor(s / hour))}h`
  if (s < 8 * day) return pair(s, [day, 'd'], [hour, 'h'])
  if (s < 2 * year) return `${String(Math.floor(s / day))}d`
  if (s < 8 * year) return pair(s, [year, 'y'], [day, 'd'])
  return `${String(Math.floor(s / year))}y`
}

/** Time since an RFC 3339 instant; `<unknown>` when it is none. */
export const age = (instant: unknown, now: number): string => {
  const then = typeof instant === 'string' ? Date.parse(instant) : Number.NaN
  return Number.isNaN(then) ? '<unknown>' : humanDuration((now - then) / 1000)
}
