/** A leader's time: what it appends is refused once a later leader has been elected. */
export interface Term {
  name: string
  term: number
  /** Fires when the time is over: nothing new may be begun. */
  signal: AbortSignal
}

/** As much of an event as is needed to tell whom it concerns. */
export interface Happened {
  category: string
  streamId: string
  data: object
}

/** Level-triggered: reads everything it needs and brings one object nearer to what is wanted. Only the leader calls it. */
export interface Reconciler {
  /** One pass over one object. Returns the milliseconds after which something is due. Throws to be tried again with backoff. */
  reconcile(key: string, term: Term): Promise<number | undefined>
  /** Every key there is, for the periodic resync. */
  keys(): Promise<string[]>
  /** The keys that an event concerns; the event says only whom to look at. */
  keysOf(event: Happened): Promise<readonly string[]>
  /** Registers what to call when a key should be looked at again, with the error if an act of this reconciler failed. */
  onWake(wake: (key: string, error?: unknown) => void): void
  /** Removes what runs and nobody wants. Returns what it found; only those found before, too, are removed. */
  sweep(term: Term, foundBefore: ReadonlySet<string>): Promise<ReadonlySet<string>>
  /** Resolves when nothing that this reconciler began is under way; after a bound in any case. */
  idle(): Promise<void>
}
