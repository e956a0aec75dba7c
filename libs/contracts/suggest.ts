/** Edits between two words; two neighbours in the wrong order count as one. */
const distance = (a: string, b: string): number => {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  const at = (i: number, j: number) => rows[i]?.[j] ?? Infinity
  const isTurned = (i: number, j: number) => i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    rows.push(row)
    for (let j = 1; j <= b.length; j++) {
      const swap = a[i - 1] === b[j - 1] ? 0 : 1
      const turned = isTurned(i, j) ? at(i - 2, j - 2) + 1 : Infinity
      row.push(Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + swap, turned))
    }
  }
  return at(a.length, b.length)
}

/** The candidate that was probably meant by a mistyped word, or undefined when none is near. */
export const suggest = (word: string, candidates: Iterable<string>): string | undefined => {
  const near = Math.max(1, Math.floor(word.length / 3))
  let best: { candidate: string; cost: number } | undefined
  for (const candidate of candidates) {
    // The lengths alone tell, and whoever sends a word of a megabyte does not keep us busy.
    if (Math.abs(word.length - candidate.length) > near) continue
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
