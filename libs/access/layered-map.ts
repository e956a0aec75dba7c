/** A map on top of another one, which stays as it was. */
export class LayeredMap<K, V> {
  private readonly own = new Map<K, V | undefined>()

  constructor(private readonly below?: LayeredMap<K, V>) {}

  get(key: K): V | undefined {
    const mine = this.own.get(key)
    if (mine !== undefined || !this.below) return mine
    return this.own.has(key) ? undefined : this.below.get(key)
  }

  set(key: K, value: V): void {
    this.own.set(key, value)
  }

  delete(key: K): void {
    if (this.below) this.own.set(key, undefined)
    else this.own.delete(key)
  }

  *entries(): IterableIterator<[K, V]> {
    for (const [key, value] of this.own) if (value !== undefined) yield [key, value]
    if (!this.below) return
    for (const entry of this.below.entries()) if (!this.own.has(entry[0])) yield entry
  }
}

/** Sets by key, on top of others. */
export class LayeredSets<K, V> {
  private readonly sets: LayeredMap<K, Set<V>>
  private readonly mine = new Set<K>()

  constructor(private readonly below?: LayeredSets<K, V>) {
    this.sets = new LayeredMap(below?.sets)
  }

  get(key: K): ReadonlySet<V> {
    return this.sets.get(key) ?? (nothing as ReadonlySet<V>)
  }

  add(key: K, value: V): void {
    this.own(key).add(value)
  }

  remove(key: K, value: V): void {
    const set = this.own(key)
    set.delete(value)
    if (set.size === 0) this.sets.delete(key)
  }

  /** The set of this layer: copied from the one below when it is first changed. */
  private own(key: K): Set<V> {
    const found = this.sets.get(key)
    if (found && (!this.below || this.mine.has(key))) return found
    const copy = new Set(found)
    this.sets.set(key, copy)
    this.mine.add(key)
    return copy
  }
}

const nothing: ReadonlySet<unknown> = new Set()
