import { escapeText } from '../output/escape'

const linesOf = (text: string): string[] => (text === '' ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/))

const common = (left: readonly string[], right: readonly string[]): number => {
  const index = left.findIndex((line, at) => line !== right[at])
  return index === -1 ? left.length : index
}

/** Strings with the colon behind them where they are keys, and numbers. */
const TOKENS = /"(?:[^"\\]|\\.)*"(\s*:)?|-?\d[\d.eE+-]*/g

const valuesOf = (line: string): string[] =>
  [...line.matchAll(TOKENS)].flatMap(([found, colon]) => (colon === undefined ? [found] : []))

const masked = (line: string, isHidden: (value: string) => boolean): string =>
  line.replace(TOKENS, (found, colon: string | undefined) => {
    if (colon !== undefined || !isHidden(found)) return found
    return found.startsWith('"') ? '"***"' : '***'
  })

/**
 * The lines between which two texts differ, `-` before those that go and `+` before those that come. Values that somebody has written by hand may be
 * secrets: only those are shown that come from us and did not stand in what goes, which a file of one line is as a whole.
 */
export const changedLines = (before: string, after: string, comesFrom: 'us' | 'the user' = 'us'): string[] => {
  const [old, now] = [linesOf(before), linesOf(after)]
  const head = Math.min(common(old, now), old.length, now.length)
  const [oldRest, nowRest] = [old.slice(head), now.slice(head)]
  const tail = Math.min(
    common(oldRest.toReversed(), nowRest.toReversed()),
    common(nowRest.toReversed(), oldRest.toReversed()),
  )
  const gone = oldRest.slice(0, oldRest.length - tail)
  const come = nowRest.slice(0, nowRest.length - tail)
  const theirs = new Set(gone.flatMap(valuesOf))
  return [
    ...gone.map((line) => `-${escapeText(masked(line, () => true))}`),
    ...come.map((line) => `+${escapeText(masked(line, (value) => comesFrom === 'the user' || theirs.has(value)))}`),
  ]
}
