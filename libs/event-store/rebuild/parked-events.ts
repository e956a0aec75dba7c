import type { PoolClient } from 'pg'
import type { Model } from '../follow/parking'
import type { RecordedEvent } from '../types'

/** What must be left out of a fold: events that were skipped, for whatever version, and streams that wait for a parked event. */
export class ParkedEvents {
  private constructor(
    private readonly skipped: ReadonlySet<string>,
    private readonly streams: Set<string>,
  ) {}

  static async of(tx: PoolClient, { processor, modelVersion }: Model): Promise<ParkedEvents> {
    const { rows } = await tx.query<{ position: string; stream_id: string; status: 'parked' | 'skipped' }>(
      `select position::text, stream_id, status from es.parked
       where processor = $1 and (status = 'skipped' or model_version = $2)`,
      [processor, modelVersion],
    )
    return new ParkedEvents(
      new Set(rows.filter(({ status }) => status === 'skipped').map(({ position }) => position)),
      new Set(rows.filter(({ status }) => status === 'parked').map(({ stream_id }) => stream_id)),
    )
  }

  sortOut(events: RecordedEvent[]): { ready: RecordedEvent[]; waiting: RecordedEvent[] } {
    if (this.skipped.size + this.streams.size === 0) return { ready: events, waiting: [] }
    const left = events.filter(({ position }) => !this.skipped.has(String(position)))
    return {
      ready: left.filter(({ streamId }) => !this.streams.has(streamId)),
      waiting: left.filter(({ streamId }) => this.streams.has(streamId)),
    }
  }
}
