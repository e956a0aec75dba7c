import type { PoolClient } from 'pg'
import type { EventCatalogue } from '../decide/catalogue'
import type { ProjectedEvent } from '../types'

/** A read model and how events become part of it. */
export interface Projection {
  /** Of the processor, in es.checkpoint and es.parked. */
  name: string
  /**
   * Identity of the folding code, written down with the model. A model that other code has begun is left alone, since two codes on the same
   * tables would make a mixture. Default `''`.
   */
  fold?: string
  /** Models begun by these may be gone on with as well, for example by the code before an upgrade, until a rebuild has replaced them. */
  alsoFolds?: readonly string[]
  /** Brings events into their current shape before `project` sees them. Without it they come as stored. */
  catalogue?: EventCatalogue
  /** What queues behind an event that is parked: all later ones with the same answer. Given events as stored; must not throw. Default: their stream. */
  queueOf?: (event: ProjectedEvent) => string | undefined
  /**
   * Applies events to read models through `tx` only; commits together with the checkpoint. Must not end the transaction. Called again
   * with the same events, or with a part of them, after it threw and was taken back.
   */
  project: (tx: PoolClient, events: ProjectedEvent[]) => Promise<void>
}

export const foldsOf = ({ fold = '', alsoFolds = [] }: Projection): string[] => [fold, ...alsoFolds]

/** Lifts and projects. Throws UnknownEvent for an event that a newer version has stored, and what `project` throws. */
export const apply = async ({ catalogue, project }: Projection, tx: PoolClient, events: ProjectedEvent[]) => {
  if (events.length === 0) return
  await project(tx, catalogue ? events.map((event) => catalogue.toCurrent(event)) : events)
}
