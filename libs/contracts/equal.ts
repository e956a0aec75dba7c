/** Whether two JSON values are the same, whatever the order of their keys. A key whose value is undefined counts as absent. */
export const jsonEqual = (a: unknown, b: unknown): boolean => {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  return sameMembers(a as Record<string, unknown>, b as Record<string, unknown>)
}

// Without lists of entries: this is asked of every event that is folded.
const sameMembers = (a: Record<string, unknown>, b: Record<string, unknown>): boolean => {
  let members = 0
  for (const key of Object.keys(a)) {
    const value = a[key]
    if (value === undefined) continue
    members++
    if (!Object.hasOwn(b, key) || !jsonEqual(value, b[key])) return false
  }
  for (const key of Object.keys(b)) if (b[key] !== undefined) members--
  return members === 0
}
