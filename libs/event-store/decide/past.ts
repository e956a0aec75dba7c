import type { EventLog, RecordedEvent } from '../types'
import { lastPositions, type Snapshot, type Snapshots } from './snapshots'

/** So many events are read and folded in less time than a command takes for the rest. */
const longStream = 512

/** What is stored of a stream: a snapshot, where there is one, and the events after it. */
export interface Past {
  snapshot: Snapshot | undefined
  events: RecordedEvent[]
}

/** Reads the past of a stream. Short streams cost one read and never ask for a snapshot. */
export const loadPast = async (log: EventLog, snapshots: Snapshots | undefined, streamId: string): Promise<Past> => {
  if (!snapshots) return { snapshot: undefined, events: await log.readStream(streamId) }
  const first = await log.readStream(streamId, { limit: longStream })
  if (first.length < longStream) return { snapshot: undefined, events: first }
  const snapshot = await snapshots.find(streamId)
  if (snapshot) return { snapshot, events: await log.readStream(streamId, { from: snapshot.version + 1 }) }
  return { snapshot, events: [...first, ...(await log.readStream(streamId, { from: longStream + 1 }))] }
}

/** Version of the last stored event; 0 when there is none. */
export const versionOf = ({ snapshot, events }: Past): number => events.at(-1)?.version ?? snapshot?.version ?? 0

/** Position of the last stored event that is not of the types `except`; 0 when there is none. */
export const lastPositionOf = ({ snapshot, events }: Past, except: readonly string[]): bigint => {
  const last = events.findLast(({ type }) => !except.includes(type))
  if (last) return last.position
  const others = Object.entries(snapshot?.positions ?? {}).filter(([type]) => !except.includes(type))
  return others.reduce((latest, [, position]) => (position > latest ? position : latest), 0n)
}

/** A snapshot of the state that this past leads to, when folding it again would take long. */
export const snapshotOf = ({ snapshot, events }: Past, state: unknown): Snapshot | undefined => {
  const last = events.at(-1)
  if (!last || events.length < longStream) return undefined
  const { version, hash } = last
  return { version, hash, positions: lastPositions(snapshot?.positions ?? {}, events), state }
}
