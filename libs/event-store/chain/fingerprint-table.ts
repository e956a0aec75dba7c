const firstCapacity = 1024
const fullest = 0.6

/** Numbers by keys of 32 hex digits (ids, or the beginning of a hash): 40 bytes each at most, where a `Map` takes several times that. */
export class FingerprintTable {
  private keys = new Uint32Array(4 * firstCapacity)
  private values = new Float64Array(firstCapacity)
  private used = 0

  /** Stores a number other than 0 and returns the one that was there, 0 if none. */
  exchange(key: string, value: number): number {
    if (this.used > fullest * this.values.length) this.grow()
    const parts = [0, 8, 16, 24].map((at) => Number.parseInt(key.slice(at, at + 8), 16))
    const slot = this.slotOf(parts)
    const before = this.values[slot] ?? 0
    if (before === 0) {
      this.keys.set(parts, 4 * slot)
      this.used++
    }
    this.values[slot] = value
    return before
  }

  /** Where the key is, or else would be. */
  private slotOf(parts: ArrayLike<number>): number {
    const { keys, values } = this
    let slot = ((parts[0] as number) ^ (parts[3] as number)) >>> 0
    for (; ; slot++) {
      slot %= values.length
      if (values[slot] === 0) return slot
      const at = 4 * slot
      if (keys[at] === parts[0] && keys[at + 1] === parts[1] && keys[at + 2] === parts[2] && keys[at + 3] === parts[3])
        return slot
    }
  }

  private grow() {
    const { keys, values } = this
    this.keys = new Uint32Array(2 * keys.length)
    this.values = new Float64Array(2 * values.length)
    values.forEach((value, from) => {
      if (value === 0) return
      const parts = keys.subarray(4 * from, 4 * from + 4)
      const slot = this.slotOf(parts)
      this.keys.set(parts, 4 * slot)
      this.values[slot] = value
    })
  }
}
