import { didYouMean, metadataKeys } from '@mcpctl/contracts'
import { throwAll, usage } from '../errors'
import type { ManifestObject } from './parse'

/** Finds misspelt fields without a daemon. Its own validation knows more; this one helps where there is none. */
export const checkFields = (objects: readonly ManifestObject[]): void => {
  throwAll(
    objects.flatMap(({ kind, entry, locate }) => {
      const known = [...metadataKeys, ...kind.fields]
      return Object.keys(entry)
        .filter((field) => !known.includes(field))
        .map((field) =>
          usage(
            `${locate([field])}: ${kind.singular}/${entry.name} has no field "${field}"${didYouMean(field, known)}`,
          ),
        )
    }),
  )
}
