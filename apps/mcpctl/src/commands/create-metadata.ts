import type { Command } from 'commander'
import type { ManifestEntry } from '@mcpctl/contracts'
import { usage } from '../errors'
import { collect, pairsOf, present } from './flags'

/** Flags for what every object has. */
export interface MetadataFlags {
  label?: string[]
  annotation?: string[]
}

/** The entry of exactly one NAME with labels, annotations and these fields, those left out aside. Throws usage errors. */
export const entryOf = (
  words: string[],
  flags: MetadataFlags,
  { fields, example }: { fields: Record<string, unknown>; example: string },
): ManifestEntry => {
  const [name, ...rest] = words
  if (name === undefined || rest.length > 0)
    throw usage(`exactly one NAME is required, got ${String(words.length)}`, `For example: ${example}`)
  const entry = {
    name,
    labels: flags.label && pairsOf(flags.label, '--label'),
    annotations: flags.annotation && pairsOf(flags.annotation, '--annotation'),
    ...fields,
  }
  return present(entry) as ManifestEntry
}

export const addMetadataOptions = (command: Command): Command =>
  command
    .option('-l, --label <key=value>', 'a label; may be repeated', collect)
    .option('--annotation <key=value>', 'an annotation; may be repeated', collect)
