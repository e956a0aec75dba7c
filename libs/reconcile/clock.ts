/** Time as the queue sees it; another one makes tests exact. */
export interface Clock {
  /** Milliseconds since any fixed moment; never runs backwards. */
  now(): number
  /** Calls once after so many milliseconds, unless cancelled by the function returned. */
  schedule(milliseconds: number, call: () => void): () => void
  /** From 0 up to 1. */
  random(): number
}

/** Timers hold 31 bits; a longer wait would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => performance.now(),
  schedule(milliseconds, call) {
    const timer = setTimeout(call, Math.min(milliseconds, LONGEST_TIMER_MS))
    return () => {
      clearTimeout(timer)
    }
  },
  random: Math.random,
}
