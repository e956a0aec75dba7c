import type { Model } from '../follow/parking'
import type { ProjectedEvent } from '../types'
import type { RebuildableModel } from './model'

/** Where the events of a version are parked, and what queues behind them. */
export const parkedIn = ({ name: processor, queueOf }: RebuildableModel, modelVersion: number): Model => ({
  processor,
  modelVersion,
  ...(queueOf && { queueOf }),
})

/** Throws UnknownEvent. */
export const currentEvents = ({ catalogue }: RebuildableModel, events: ProjectedEvent[]): ProjectedEvent[] =>
  catalogue ? events.map((event) => catalogue.toCurrent(event)) : events
