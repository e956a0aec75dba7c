import { didYouMean } from '@mcpctl/contracts'
import { usage } from '../errors'

const refused: Record<string, string> = {
  'go-template': 'use -o json and a JSON tool',
  'go-template-file': 'use -o json and a JSON tool',
  jsonpath: 'use -o json and a JSON tool',
  'custom-columns': 'use -o wide or -o json',
}

/** Checks an output format against those that the command knows. Throws a usage error in kubectl's words. */
export const parseFormat = <const F extends string>(text: string, allowed: readonly F[]): F => {
  const found = allowed.find((format) => format === text)
  if (found !== undefined) return found
  const hint = refused[text.split('=')[0] ?? '']
  const list = [...allowed].sort().join(',')
  throw usage(
    `unable to match a printer suitable for the output format "${text}", allowed formats are: ${list}` +
      (hint ? `; ${hint}` : didYouMean(text, allowed)),
  )
}
