/**
 * How long something that was taken away may still work elsewhere, in milliseconds. A second is what is promised; the rest is room for a
 * machine that is busy with other specs. Without what the promise rests on it would take ten seconds, or for ever.
 */
export const goneWithinMs = 2_500
