import type { Command } from 'commander'
import type { Kind, Verb } from '@mcpctl/contracts'
import { kinds } from '@mcpctl/kinds/kinds'
import type { OpenSession } from '../command-file'
import { usage } from '../errors'
import { parseFormat } from '../output/format'
import { formatTable } from '../output/table'

const formats = ['table', 'wide', 'name'] as const
const header = ['NAME', 'SHORTNAMES', 'VERBS', 'KIND', 'ROLES']
const orders = ['name', 'kind']

interface ResourcesFlags {
  output: string
  headers: boolean
  verbs?: string
  sortBy?: string
}

const rowOf = ({ plural, shortNames, verbs, name, roles }: Kind) => [
  plural,
  shortNames.join(','),
  verbs.join(','),
  name,
  roles.join(','),
]

export const listKinds = (flags: ResourcesFlags): string => {
  const format = parseFormat(flags.output, formats)
  const { sortBy } = flags
  if (sortBy !== undefined && !orders.includes(sortBy)) throw usage('--sort-by accepts "name" and "kind" only')
  const wanted = flags.verbs?.split(',') ?? []
  const rows = kinds.filter(({ verbs }) => wanted.every((verb) => verbs.includes(verb as Verb))).map(rowOf)
  if (sortBy !== undefined) {
    const column = header.indexOf(sortBy.toUpperCase())
    rows.sort((a, b) => ((a[column] ?? '') < (b[column] ?? '') ? -1 : 1))
  }
  if (format === 'name') return rows.map(([name]) => `${name ?? ''}\n`).join('')
  return formatTable(flags.headers ? [header, ...rows] : rows)
}

export const define = (command: Command, open: OpenSession): void => {
  command
    .option('-o, --output <format>', formats.join('|'), 'table')
    .option('--no-headers', 'print no header line')
    .option('--verbs <verbs>', 'only kinds that offer all of these, for example create,delete')
    .option('--sort-by <column>', 'name or kind')
    .action((flags: ResourcesFlags) => open(command).print(listKinds(flags)))
}
