/** What is wrong with a log or with an export of one. */
export type Problem =
  /** The file is not what an export writes, or not all of it. */
  | 'format'
  /** A position has no event. */
  | 'missing'
  /** A position comes again, or lies outside of the log. */
  | 'inserted'
  /** An event says something else than when it was appended. */
  | 'content'
  /** An event does not follow from the one before it: rows were swapped, inserted, or changed in position, version or time. */
  | 'chain'
  /** Time runs backwards. */
  | 'time'
  /** A stream's versions have a hole or come again. */
  | 'version'
  /** An event id comes again. */
  | 'duplicate-id'
  /** `es.claim` is not what the events' claims add up to, or a key was taken while another stream held it. */
  | 'claim'
  /** The log ends before a position that was sealed. */
  | 'truncated'
  /** A seal is forged, replaced, signed by a key that is not trusted, or tells of another log. */
  | 'seal'
  /** What keeps events from being changed, or some of them from being hidden, is not in place. */
  | 'protection'

/** The first fault that a check has found. */
export interface Fault {
  problem: Problem
  /** Where; the first position that cannot be trusted. */
  position: bigint
  /** The field concerned, for example `hash`. */
  field: string
  message: string
}

/** Carries a fault from where it is found to whoever answers for it. */
export class Broken extends Error {
  override readonly name = 'Broken'

  constructor(readonly fault: Fault) {
    super(fault.message)
  }
}

export const broken = (problem: Problem, position: number | bigint, field: string, message: string): Broken =>
  new Broken({ problem, position: BigInt(position), field, message })
