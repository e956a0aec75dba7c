/** How patient the reconciliation of this daemon is. */
export class RolloutPace {
  /** @param settleMs Rotations of secrets within so many milliseconds of the first are taken up at once, as one. */
  constructor(readonly settleMs: number) {}
}
