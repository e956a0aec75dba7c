import type { DenialRecord } from '@mcpctl/contracts'
import type { EventLog, RecordedEvent } from '@mcpctl/event-store'

const MOST_TOLD = 10
/** Logins stand between them; whoever has logged in so often since was not denied lately. */
const MOST_READ = 500

/** The latest refusals of a user, the newest first. */
export const denialsOf = async (log: EventLog, uid: string): Promise<DenialRecord[]> => {
  const events = await log.readStream(`audit-${uid}`, { backwards: true, limit: MOST_READ })
  return events
    .filter(({ type }) => type === 'AccessDenied')
    .slice(0, MOST_TOLD)
    .map(denialRecord)
}

const denialRecord = ({ recordedAt, position, data, meta }: RecordedEvent): DenialRecord => ({
  at: recordedAt,
  position: String(position),
  asked: typeof data['asked'] === 'string' ? data['asked'] : JSON.stringify(data),
  ...(meta.sourceAddress !== undefined && { sourceAddress: meta.sourceAddress }),
})
