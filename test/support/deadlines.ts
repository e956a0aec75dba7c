/**
 * How long something that was taken away may still work elsewhere, in milliseconds. A second is what is promised; the rest is room for a
 * machine that is busy with other specs. Without what the promise rests on it would take ten seconds, or for ever.
 */
export const goneWithinMs = 6_000

/**
 * How long another process may need to take over from one that is lost, in milliseconds. Two seconds are what is promised, and most of them
 * are the one that PostgreSQL gives a transaction that idles; the rest is room for a busy machine. Without what the promise rests on it would
 * take a minute, or for ever.
 */
export const takenOverWithinMs = 10_000
