import type { PoolClient } from 'pg'
import type { Model } from '../follow/parking'
import type { ProjectedEvent } from '../types'

/** What must be left out of a fold: events that were skipped, for whatever version, and what waits for a parked event. */
export class ParkedEvents {
  private constructor(
    private readonly skipped: ReadonlySet<string>,
    /** The first position that is parked, by queue. */
    private readonly queues: ReadonlyMap<string, bigint>,
    private readonly model: Model,
  ) {}

  static async of(tx: PoolClient, model: Model): Promise<ParkedEvents> {
    const { processor, modelVersion } = model
    const { rows } = await tx.query<{ position: string; queue: string; status: 'parked' | 'skipped' }>(
      `select p.position::text, stream_id as queue, status from es.parked p
       where processor = $1 and (status = 'skipped' or model_version = $2) order by p.position desc`,
      [processor, modelVersion],
    )
    const parked = rows.filter(({ status }) => status === 'parked')
    return new ParkedEvents(
      new Set(rows.filter(({ status }) => status === 'skipped').map(({ position }) => position)),
      new Map(parked.map(({ queue, position }) => [queue, BigInt(position)])),
      model,
    )
  }

  sortOut(events: ProjectedEvent[]): { ready: ProjectedEvent[]; waiting: ProjectedEvent[] } {
    if (this.skipped.size + this.queues.size === 0) return { ready: events, waiting: [] }
    const left = events.filter(({ position }) => !this.skipped.has(String(position)))
    return {
      ready: left.filter((event) => !this.waits(event)),
      waiting: left.filter((event) => this.waits(event)),
    }
  }

  private waits(event: ProjectedEvent): boolean {
    const first = this.queues.get(this.model.queueOf?.(event) ?? event.streamId)
    return first !== undefined && event.position >= first
  }
}
