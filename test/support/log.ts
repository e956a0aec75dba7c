import type { RecordedEvent } from '@mcpctl/event-store'
import type { TestDaemon } from './daemon'

const everything = 100_000

/** Everything that is in the daemon's log, in order. */
export const events = (daemon: TestDaemon): Promise<RecordedEvent[]> => daemon.parts.store.log.read(0n, everything)

/** Types of the events of one object, in order. */
export const appended = async (daemon: TestDaemon, uid: string): Promise<string[]> =>
  (await events(daemon)).filter(({ streamId }) => streamId.endsWith(`-${uid}`)).map(({ type }) => type)

/** Where the log ends. */
export const position = (daemon: TestDaemon): Promise<bigint> => daemon.parts.store.log.head()
