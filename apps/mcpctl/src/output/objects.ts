import type { Kind, ResourceObject } from '@mcpctl/contracts'
import type { Io } from '../io'
import type { Found } from './bundle'
import { cell, columnsOf, labelText } from './columns'
import { formatTable } from './table'

export interface TableStyle {
  wide: boolean
  headers: boolean
  showLabels: boolean
  labelColumns: readonly string[]
  /** Write `server/github` rather than `github`. */
  showKind: boolean
}

const headerOfLabel = (key: string) => (key.split('/').at(-1) ?? key).toUpperCase()

/** A kind's table, row by row: the header first, unless the style goes without. */
export const tableRows = (
  kind: Kind,
  objects: readonly ResourceObject[],
  style: TableStyle,
  now: number,
): string[][] => {
  const columns = columnsOf(kind, style.wide)
  const header = [
    ...columns.map((column) => column.header),
    ...style.labelColumns.map(headerOfLabel),
    ...(style.showLabels ? ['LABELS'] : []),
  ]
  const rows = objects.map((object) => {
    const cells = columns.map((column) => cell(object, column, now))
    if (style.showKind) cells[0] = `${kind.singular}/${cells[0] ?? ''}`
    const { labels } = object.metadata
    const picked = style.labelColumns.map((key) => labels[key] ?? '<none>')
    return [...cells, ...picked, ...(style.showLabels ? [labelText(labels)] : [])]
  })
  return style.headers ? [header, ...rows] : rows
}

/** One table per kind that has objects, an empty line between them. */
export const printTables = (io: Io, found: readonly Found[], style: TableStyle, now = Date.now()): void => {
  const columns = io.outIsTerminal ? io.columns : undefined
  const tables = found
    .filter(({ objects }) => objects.length > 0)
    .map(({ kind, objects }) => formatTable(tableRows(kind, objects, style, now), columns))
  io.out(tables.join('\n'))
}
