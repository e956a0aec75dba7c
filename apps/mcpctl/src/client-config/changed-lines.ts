import { escapeText } from '../output/escape'

const linesOf = (text: string): string[] => (text === '' ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/))

const common = (left: readonly string[], right: readonly string[]): number => {
  const index = left.findIndex((line, at) => line !== right[at])
  return index === -1 ? left.length : index
}

/** Values that somebody has written by hand may be secrets: of lines that go, only the keys are shown. */
const withoutValues = (line: string): string =>
  line.replace(/"(?:[^"\\]|\\.)*"(\s*:)?/g, (found, colon: string | undefined) =>
    colon === undefined ? '"***"' : found,
  )

const withoutComma = (line: string): string => line.replace(/,\s*$/, '')

/** The lines between which two texts differ, `-` before those that go and `+` before those that come; the values are shown of what is ours. */
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
  const kept = new Set(gone.map(withoutComma))
  return [
    ...gone.map((line) => `-${escapeText(withoutValues(line))}`),
    // One that only got a comma is somebody's own too.
    ...come.map(
      (line) => `+${escapeText(comesFrom === 'the user' || kept.has(withoutComma(line)) ? withoutValues(line) : line)}`,
    ),
  ]
}
