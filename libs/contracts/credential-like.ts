/** What stands in place of a value that must not show. */
const MASK = '***'

/**
 * Texts by which credentials are known: tokens of mcpctl, GitHub, Slack and of AWS access keys, JSON Web Tokens, and private keys in PEM. Of these, each
 * was made to be found by scanners: what looks like one is one, or one with a typing error, which is as secret.
 */
const forms = [
  String.raw`(?<![A-Za-z0-9])mcp_(?:pat|ses|svc)_[0-9A-Za-z]{49}(?![0-9A-Za-z])`,
  String.raw`(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36,255}`,
  String.raw`(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{22,255}`,
  String.raw`(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Z])`,
  String.raw`(?<![A-Za-z0-9])xox[abeprs]-[A-Za-z0-9-]{10,255}`,
  String.raw`(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,8192}\.eyJ[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{0,8192}`,
  // In a line of JSON the line breaks are escaped, so the end is looked for instead of them.
  String.raw`-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----(?:[^]{0,16384}?-----END [A-Z ]{0,32}PRIVATE KEY-----)?`,
].join('|')

const any = new RegExp(forms)
const all = new RegExp(forms, 'g')

/** Letters and digits in a long row, as random values are and words are not. */
const row = /[A-Za-z0-9+/=_]{20,}/g
const isRandom = (text: string): boolean => /[A-Za-z]/.test(text) && /\d/.test(text)

/** Whether a text holds something made to give access: a token, an access key, a private key. */
export const looksLikeCredential = (text: string): boolean => any.test(text)

/** The text with every such thing replaced by `***`. */
export const maskCredentials = (text: string): string => text.replace(all, MASK)

/** The same, and random-looking rows of 20 and more letters and digits too: for text that strangers may have typed into the wrong place. */
export const maskSecrets = (text: string): string =>
  maskCredentials(text).replace(row, (found) => (isRandom(found) ? MASK : found))

/** What to say of a field that holds one. Never says what it holds. */
export const credentialProblem = 'looks like a credential; put it into a Secret and refer to that'
