/** Runs what belongs to one key one after the other; different keys run side by side. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<unknown>>()

  /** Resolves or rejects as `work` does, once it is its turn. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    const mine = before.then(work, work)
    this.#tails.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key)
    }
  }
}
