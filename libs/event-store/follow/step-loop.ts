/** When the next step is due: at once, when roused, when roused or after a while, or after a while whatever happens. */
export type Next = 'at once' | 'when roused' | { withinMs: number } | { afterMs: number }

/** Repeats a step, one at a time, until it is stopped. */
export class StepLoop {
  private running: Promise<void> | undefined
  private stopping = false
  private rouses = 0
  private wake: () => void = () => {}

  /** The step answers when the next one is due, and must not throw. */
  constructor(private readonly step: () => Promise<Next>) {}

  get isRunning(): boolean {
    return this.running !== undefined && !this.stopping
  }

  start(): void {
    this.stopping = false
    this.running ??= this.run()
  }

  /** Resolves when the step under way has ended. */
  async stop(): Promise<void> {
    this.stopping = true
    this.rouse()
    await this.running
    this.running = undefined
  }

  rouse(): void {
    this.rouses++
    this.wake()
  }

  private async run() {
    while (!this.stopping) {
      const rouses = this.rouses
      const next = await this.step()
      if (next === 'at once') continue
      if (typeof next === 'object' && 'afterMs' in next) await this.pause(next.afterMs)
      // Roused while the step ran: the step may have read too early.
      else if (rouses === this.rouses) await this.sleep(next === 'when roused' ? undefined : next.withinMs)
    }
  }

  private async sleep(ms: number | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** News do not make a failing step hurry. */
  private async pause(ms: number): Promise<void> {
    if (this.stopping) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.wake = () => {
        if (!this.stopping) return
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
