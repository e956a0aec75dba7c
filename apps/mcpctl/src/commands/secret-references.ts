import { usage } from '../errors'
import { pairsOf } from './flags'

interface KeyReference {
  key: string
  version?: number
}

const example = 'For example: --env-secret GITHUB_TOKEN=gh-token:token'
const SHAPE = /^([^:@/\s]+)(?:@([1-9]\d{0,9}))?$/

const keyOf = (text: string | undefined): KeyReference | undefined => {
  const [, key, version] = SHAPE.exec(text ?? '') ?? []
  return key === undefined ? undefined : { key, ...(version !== undefined && { version: Number(version) }) }
}

/** `TOKEN=gh-token:token` as an entry of a server's environment. No error repeats what was typed: it may be the secret itself. */
export const secretEnvOf = (words: readonly string[]): object[] => {
  if (words.some((word) => !word.includes('='))) throw usage('--env-secret needs NAME=SECRET:KEY', example)
  return Object.entries(pairsOf(words, '--env-secret')).map(([name, reference]) => {
    const [secret = '', key, ...rest] = reference.split(':')
    const found = keyOf(key)
    if (secret === '' || !found || rest.length > 0)
      throw usage(`--env-secret ${name}=… needs SECRET:KEY, or SECRET:KEY@VERSION`, example)
    return { name, valueFrom: { secretRef: { name: secret, ...found } } }
  })
}

/** `gh-token:pem:/run/secrets/key.pem` as a file of a server; without a path it lies at the usual place. */
export const secretFilesOf = (words: readonly string[]): object[] =>
  words.map((word, index) => {
    const [secret = '', key, ...rest] = word.split(':')
    const path = rest.length > 0 ? rest.join(':') : undefined
    const found = keyOf(key)
    if (secret === '' || !found || (path !== undefined && !path.startsWith('/')))
      throw usage(
        `--secret-file number ${String(index + 1)} needs SECRET:KEY or SECRET:KEY:/PATH; @VERSION may follow KEY`,
        'For example: --secret-file gh-token:pem',
      )
    return { secret, ...found, ...(path !== undefined && { path }) }
  })
