/** Counts what is under way, and tells when nothing is. */
export class InFlight {
  #count = 0
  #waiting: (() => void)[] = []

  get count(): number {
    return this.#count
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#count++
    try {
      return await work()
    } finally {
      if (--this.#count === 0) for (const resolve of this.#waiting.splice(0)) resolve()
    }
  }

  whenIdle(): Promise<void> {
    return this.#count === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve))
  }
}

/** Listeners of something that happens once; who comes late hears of it at once. */
export class Once {
  #done = false
  #listeners: (() => void)[] = []

  get done(): boolean {
    return this.#done
  }

  on(listener: () => void): void {
    if (this.#done) listener()
    else this.#listeners.push(listener)
  }

  fire(): void {
    if (this.#done) return
    this.#done = true
    for (const listener of this.#listeners.splice(0)) listener()
  }
}
