import { escapeText } from './escape'

const gap = '   '
const plain = /^[\u0020-\u007e]*$/
const wide =
  /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|^\p{Emoji_Presentation}/u

let segmenter: Intl.Segmenter | undefined
// Made on first need: most tables are plain ASCII, and a segmenter costs start-up time.
const graphemes = (text: string): string[] => {
  segmenter ??= new Intl.Segmenter('en')
  return Array.from(segmenter.segment(text), ({ segment }) => segment)
}

const cells = (grapheme: string) => (wide.test(grapheme) ? 2 : 1)

/** Columns of a terminal that the text takes. */
export const width = (text: string): number =>
  plain.test(text) ? text.length : graphemes(text).reduce((sum, grapheme) => sum + cells(grapheme), 0)

const cut = (text: string, room: number): string => {
  if (width(text) <= room) return text
  let kept = ''
  let taken = 0
  for (const grapheme of graphemes(text)) {
    taken += cells(grapheme)
    if (taken > room - 1) break
    kept += grapheme
  }
  return `${kept}…`
}

const pad = (text: string, to: number) => text + ' '.repeat(Math.max(0, to - width(text)))

/** A table that grows: later rows stand below the earlier ones, as far as these left room for them. */
export class Table {
  private readonly widths: number[]

  /** `atLeast`: how wide the first columns are whatever comes. */
  constructor(atLeast: readonly number[] = []) {
    this.widths = [...atLeast]
  }

  /** Aligned rows, three spaces apart. With `columns`, the terminal's width, the last column alone may be cut. */
  format(rows: readonly (readonly string[])[], columns?: number): string {
    const safe = rows.map((row) => row.map(escapeText))
    for (const row of safe)
      row.forEach((cell, index) => {
        if (index < row.length - 1) this.widths[index] = Math.max(this.widths[index] ?? 0, width(cell))
      })
    return safe.map((row) => this.line(row, columns)).join('')
  }

  private line(row: readonly string[], columns: number | undefined): string {
    const head = row.slice(0, -1).map((cell, index) => pad(cell, this.widths[index] ?? 0) + gap)
    const before = head.join('')
    const last = row.at(-1) ?? ''
    const room = columns === undefined ? Infinity : Math.max(4, columns - width(before))
    return `${before}${room === Infinity ? last : cut(last, room)}`.trimEnd() + '\n'
  }
}

/** As one table that is complete. */
export const formatTable = (rows: readonly (readonly string[])[], columns?: number): string =>
  new Table().format(rows, columns)
