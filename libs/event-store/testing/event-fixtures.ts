import { v7 as uuidv7 } from 'uuid'
import type { AppendRequest, ClaimChange, EventMeta, ExpectedVersion, NewEvent } from '../types'

const meta: EventMeta = { actor: { uid: '018f0000-0000-7000-8000-000000000001', name: 'tester' } }

/** An event that nothing else has; tests name what matters to them. */
export const event = (given: Partial<NewEvent> = {}): NewEvent => ({
  id: uuidv7(),
  type: 'Happened',
  schemaVersion: 1,
  data: {},
  meta,
  ...given,
})

export const events = (count: number): NewEvent[] => Array.from({ length: count }, () => event())

/** A request for one stream. */
export const to = (streamId: string, expected: ExpectedVersion, ...appended: NewEvent[]): AppendRequest => ({
  streams: [{ streamId, category: 'test', expected, events: appended }],
})

export const take = (key: string): ClaimChange => ({ op: 'take', scope: 'name', key })
export const release = (key: string): ClaimChange => ({ op: 'release', scope: 'name', key })
