/** A remark that stands above a line of the file; the line is counted from 1 in the text as the user left it. */
export interface Remark {
  line?: number
  text: string
}

const commented = (lines: readonly string[]): string[] => lines.map((line) => `# ${line}`.trimEnd())

const indentOf = (line: string | undefined): string => /^\s*/.exec(line ?? '')?.[0] ?? ''

/**
 * A text with comments of ours in it, which can be taken out again: what the user writes below a `#` stays his, as a line of a block scalar may
 * begin with one.
 */
export class MarkedText {
  private constructor(
    readonly text: string,
    private readonly head: ReadonlySet<string>,
    private readonly inline: ReadonlySet<string>,
  ) {}

  /** `remarks` without a line go to the head. */
  static of(body: string, head: readonly string[], remarks: readonly Remark[] = []): MarkedText {
    const lines = body.split('\n')
    const placed = remarks.flatMap(({ line, text }) => {
      if (line === undefined || line < 1 || line > lines.length) return []
      return [{ at: line - 1, mark: `${indentOf(lines[line - 1])}# ↓ ${text}` }]
    })
    const marked = lines.flatMap((line, index) => [
      ...placed.filter(({ at }) => at === index).map(({ mark }) => mark),
      line,
    ])
    const unplaced = remarks.filter(({ line }) => line === undefined || line < 1 || line > lines.length)
    const all = commented([...head, ...unplaced.map(({ text }) => `* ${text}`)])
    return new MarkedText([...all, ...marked].join('\n'), new Set(all), new Set(placed.map(({ mark }) => mark)))
  }

  /** What the user has made of it, without our comments. */
  strip(edited: string): string {
    return this.kept(edited)
      .map(({ text }) => text)
      .join('\n')
  }

  /** Which line of the stripped text a line of the edited one has become; a line that went counts as the one below. */
  lineIn(edited: string, line: number): number {
    const kept = this.kept(edited)
    const index = kept.findIndex(({ at }) => at >= line - 1)
    return index === -1 ? kept.length : index + 1
  }

  private kept(edited: string): { text: string; at: number }[] {
    const lines = edited.split('\n').map((text, at) => ({ text, at }))
    const first = lines.findIndex(({ text }) => !this.head.has(text))
    return lines.slice(first === -1 ? lines.length : first).filter(({ text }) => !this.inline.has(text))
  }
}
