// A number with fewer than sixteen digits and no exponent is always read back as it was written.
const suspicious = /[:,[\s]-?(?:[\d.]{16,}|[\d.]+[eE])/
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g

/**
 * Does JavaScript read every number of this JSON text as exactly the number that is written there? PostgreSQL keeps digits that
 * a double cannot hold, and the content hash does not cover them: they could be changed unnoticed.
 */
export const numbersAreExact = (json: string): boolean => {
  if (!suspicious.test(json)) return true
  for (const [token] of json.matchAll(tokens)) {
    if (!token.startsWith('"') && decimal(token) !== decimal(String(Number(token)))) return false
  }
  return true
}

/** The same text for the same number, whatever the zeros and the exponent: `-1.50e3` and `-1500` are `-15e2`. */
const decimal = (text: string): string => {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text) ?? []
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  if (significant === '') return whole === '' ? text : '0'
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`
}
