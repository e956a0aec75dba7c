import type { RevealedSecret } from '@mcpctl/client'
import type { ResourceObject } from '@mcpctl/contracts'
import { defaultHistoryLimit } from '@mcpctl/kinds/secret/secret.kind'
import { section } from '../output/describe'
import { escapeText } from '../output/escape'
import { minuteOf } from '../output/grants'

interface SecretStatus {
  version?: number
  keys?: string[]
  fingerprints?: Record<string, string>
  versions?: { version: number; at: string; keys: string[] }[]
}

/** As long as it is for every value: the length of one says something of it. */
const mask = '********'

const masked = (keys: readonly string[], fingerprints: Record<string, string>): string =>
  section('Data', [['KEY', 'VALUE', 'FINGERPRINT'], ...keys.map((key) => [key, mask, fingerprints[key] ?? ''])])

/** One line beside its key, several below it. What could steer the terminal shows as a sign. */
const valueLines = (key: string, { value, binary }: RevealedSecret['values'][string]): string => {
  const lines = value.split('\n').map(escapeText)
  if (binary) return `  ${key} (base64):  ${lines.join('')}\n`
  if (lines.length === 1) return `  ${key}:  ${lines.join('')}\n`
  return `  ${key}:\n${lines.map((line) => (line === '' ? '' : `    ${line}`)).join('\n')}\n`
}

const shown = ({ version, values }: RevealedSecret): string => {
  const lines = Object.entries(values).map(([key, value]) => valueLines(key, value))
  return lines.length === 0 ? 'Data:  <none>\n' : `Data of version ${String(version)}:\n${lines.join('')}`
}

/** What a secret holds: that there is something, or what, where it was revealed. */
export const secretSections = ({ spec, status }: ResourceObject, revealed?: RevealedSecret) => {
  const { historyLimit = defaultHistoryLimit } = spec as { historyLimit?: number }
  const { version, keys = [], fingerprints = {}, versions = [] } = status as SecretStatus
  const rows = versions.toReversed().map((each) => {
    const mark = each.version === version ? ' (current)' : ''
    return [`${String(each.version)}${mark}`, minuteOf(each.at), each.keys.join(',') || '<none>']
  })
  const text = [
    revealed ? shown(revealed) : masked(keys, fingerprints),
    section(`Versions (the last ${String(historyLimit)} are kept)`, [['VERSION', 'SINCE', 'KEYS'], ...rows]),
  ].join('')
  return { text, fields: ['data', 'historyLimit', 'keys', 'fingerprints', 'versions'] }
}
