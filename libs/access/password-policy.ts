/** What everybody tries first. With at least twelve characters to have, it is these words with something around them. */
const commonWords = [
  'password', 'passwort', 'passphrase', 'passcode', 'passwd', 'pass', 'qwertyuiop', 'qwerty', 'qwertz', 'azerty', 'asdfghjkl', 'asdfgh',
  'zxcvbnm', 'zxcvbn', '1qaz2wsx', 'qazwsx', 'letmein', 'welcome', 'administrator', 'admin', 'changeme', 'default', 'secret', 'dragon',
  'monkey', 'iloveyou', 'football', 'baseball', 'basketball', 'sunshine', 'princess', 'master', 'shadow', 'superman', 'batman', 'trustno',
  'starwars', 'whatever', 'computer', 'internet', 'michael', 'jennifer', 'jessica', 'charlie', 'michelle', 'pokemon', 'liverpool', 'chelsea',
  'arsenal', 'hello', 'login', 'guest', 'test', 'user', 'root', 'abc', 'freedom', 'summer', 'winter', 'spring', 'autumn', 'january', 'monday',
  'correcthorsebatterystaple', 'mcpctl', 'mcpd', 'mcplocal', 'mcp',
] // prettier-ignore

const fewest = 12
/** Bytes of UTF-8. */
const most = 256
/** What must be left of a password when the words that everybody knows are taken out. */
const fewestOfOnesOwn = 5

const lookAlikes: Record<string, string> = {
  '0': 'o',
  '1': 'i',
  '3': 'e',
  '4': 'a',
  '5': 's',
  '7': 't',
  '@': 'a',
  $: 's',
  '!': 'i',
}

const undisguised = (text: string): string => text.replaceAll(/[013457@$!]/g, (sign) => lookAlikes[sign] ?? sign)

/** The same text whatever keyboard it was typed on: Unicode's NFC. Nothing else is changed. */
export const normalised = (password: string): string => password.normalize('NFC')

/** Characters that are not the neighbour, or the same, of the one before: `1234` and `aaaa` count as one. */
const ownCharacters = (text: string): number => {
  const codes = Array.from(text, (character) => character.codePointAt(0) ?? 0)
  return codes.filter((code, index) => index === 0 || Math.abs(code - (codes[index - 1] ?? 0)) > 1).length
}

const without = (text: string, words: readonly string[]): string =>
  words.reduce((rest, word) => rest.replaceAll(word, ' '), text).replaceAll(/[\s\p{P}]+/gu, '')

const isCommon = (password: string, userName: string): boolean => {
  const name = userName.toLowerCase()
  const context = [name, ...name.split(/[^\p{L}\p{N}]+/u)].filter((word) => word.length >= 3)
  const words = [...context, ...commonWords].toSorted((a, b) => b.length - a.length)
  const typed = password.toLowerCase()
  return [typed, undisguised(typed)].some((text) => {
    const rest = without(text, words)
    return new Set(rest).size < fewestOfOnesOwn || ownCharacters(rest) < fewestOfOnesOwn
  })
}

/**
 * Why a password cannot be set, in words that do not repeat it; undefined when it can. A minimum and a maximum length and nothing that
 * everybody would try, the user's own name and the product's included; no rule says which characters there must be (OWASP ASVS 6.2).
 */
export const passwordProblem = (password: string, userName: string): string | undefined => {
  const text = normalised(password)
  if (Array.from(text).length < fewest) return `must have at least ${String(fewest)} characters`
  if (Buffer.byteLength(text) > most) return `must have at most ${String(most)} bytes`
  return isCommon(text, userName)
    ? 'is one that others would guess: common words and names, and little else'
    : undefined
}
