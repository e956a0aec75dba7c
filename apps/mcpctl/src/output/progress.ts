import type { Io } from '../io'
import { escapeText } from './escape'

const everyMs = 3_000
const clear = '\r\u001b[K'

/** What a long command is at, on stderr: on a terminal one line that changes, elsewhere a line now and then. */
export class Progress {
  private shown = false
  private lastAt: number

  constructor(
    private readonly io: Io,
    private readonly isQuiet: boolean,
    private readonly now = () => performance.now(),
  ) {
    this.lastAt = now()
  }

  update(text: string): void {
    if (this.isQuiet) return
    if (this.io.errIsTerminal) {
      this.io.err(`${clear}${escapeText(text)}`)
      this.shown = true
      return
    }
    if (this.now() - this.lastAt < everyMs) return
    this.lastAt = this.now()
    this.io.err(`${escapeText(text)}\n`)
  }

  /** Leaves a clean line for whatever is printed next. */
  clear(): void {
    if (this.shown) this.io.err(clear)
    this.shown = false
  }
}
