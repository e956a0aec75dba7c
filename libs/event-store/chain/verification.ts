import type { Fault } from './broken'

/** What a check has found: all in order, or the first fault. */
export type Verification =
  | {
      ok: true
      /** The last position that was checked, and the chain's hash there. */
      head: bigint
      hash: string
      /** Events that were checked. */
      events: bigint
      /** Seals that the log was held against; 0 means that nothing outside of the database vouches for it. */
      seals: number
    }
  | ({ ok: false } & Fault)
