/** Edits between two words; two neighbours in the wrong order count as one. */
const distance = (a: string, b: string): number => {
  const first = Array.from({ length: b.length + 1 }, (_, j) => j)
  let [before, previous] = [first, first]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const swap = a[i - 1] === b[j - 1] ? 0 : 1
      const cost = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + swap)
      const isTurned = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row[j] = isTurned ? Math.min(cost, (before[j - 2] ?? 0) + 1) : cost
    }
    before = previous
    previous = row
  }
  return previous[b.length] ?? 0
}

/** The candidate that was probably meant by a mistyped word, or undefined when none is near. */
export const suggest = (word: string, candidates: Iterable<string>): string | undefined => {
  const near = Math.max(1, Math.floor(word.length / 3))
  let best: { candidate: string; cost: number } | undefined
  for (const candidate of candidates) {
    const cost = distance(word.toLowerCase(), candidate.toLowerCase())
    if (cost <= near && (!best || cost < best.cost)) best = { candidate, cost }
  }
  return best?.candidate
}

/** `; did you mean "replicas"?`, or nothing. */
export const didYouMean = (word: string, candidates: Iterable<string>): string => {
  const candidate = suggest(word, candidates)
  return candidate === undefined ? '' : `; did you mean "${candidate}"?`
}
