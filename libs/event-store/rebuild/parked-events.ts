import type { PoolClient } from 'pg'
import type { Model } from '../follow/parking'
import type { ProjectedEvent } from '../types'

/** What must be left out of a fold: events that were skipped, for whatever version, and streams that wait for a parked event. */
export class ParkedEvents {
  private constructor(
    private readonly skipped: ReadonlySet<string>,
    /** The first position that is parked, by stream. */
    private readonly streams: ReadonlyMap<string, bigint>,
  ) {}

  static async of(tx: PoolClient, { processor, modelVersion }: Model): Promise<ParkedEvents> {
    const { rows } = await tx.query<{ position: string; stream_id: string; status: 'parked' | 'skipped' }>(
      `select p.position::text, stream_id, status from es.parked p
       where processor = $1 and (status = 'skipped' or model_version = $2) order by p.position desc`,
      [processor, modelVersion],
    )
    const parked = rows.filter(({ status }) => status === 'parked')
    return new ParkedEvents(
      new Set(rows.filter(({ status }) => status === 'skipped').map(({ position }) => position)),
      new Map(parked.map(({ stream_id, position }) => [stream_id, BigInt(position)])),
    )
  }

  sortOut(events: ProjectedEvent[]): { ready: ProjectedEvent[]; waiting: ProjectedEvent[] } {
    if (this.skipped.size + this.streams.size === 0) return { ready: events, waiting: [] }
    const left = events.filter(({ position }) => !this.skipped.has(String(position)))
    return {
      ready: left.filter((event) => !this.waits(event)),
      waiting: left.filter((event) => this.waits(event)),
    }
  }

  private waits({ streamId, position }: ProjectedEvent): boolean {
    const first = this.streams.get(streamId)
    return first !== undefined && position >= first
  }
}
