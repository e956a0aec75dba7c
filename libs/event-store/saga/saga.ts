import { v5 as uuidv5 } from 'uuid'
import type { ProjectedEvent } from '../types'

/**
 * A process manager: remembers what has happened and says what is to be done about it. Pure, all of it: time and ids come in with the
 * events. State and outputs are plain JSON.
 */
export interface Saga<State, Output extends object> {
  /** Letters, digits and dashes. Names the saga in es.checkpoint, es.outbox, es.parked and in the ids of its outputs: never changes. */
  name: string
  /** Raise it when `correlate` or `evolve` change: the saga then learns its state anew from the log, without acting again. Lower ones stand by. */
  version: number
  /** Which instance of the saga the event belongs to, for example an order's id; undefined for events that it is not about. */
  correlate(event: ProjectedEvent): string | undefined
  initial: State
  evolve(state: State, event: ProjectedEvent): State
  /** What is to be done, in order, now that the event has led to this state. */
  react(state: State, event: ProjectedEvent): readonly Output[]
}

/** What a saga wants done, as `dispatch` gets it. */
export interface SagaMessage<Output extends object> {
  /** `outputId` of saga, event and ordinal. The receiver does nothing the second time: sent at least once. */
  id: string
  saga: string
  instance: string
  output: Output
  /** Id and position of the event that the saga reacts to. */
  causationId: string
  position: bigint
  /** That of the event, where it has one. */
  correlationId?: string
}

/** Instances of a saga live in streams of this category, which sagas themselves are not told about. */
export const sagaCategory = 'saga'

export const instanceStream = (saga: string, instance: string): string => `${sagaCategory}-${saga}/${instance}`

const namespace = '5d0c2b5e-6f0b-5a52-9d34-1f3a5f0e8c11'

/** A UUID for everything that sagas make out of an event: the same whenever, and by whichever process, the event is handled again. */
const derivedId = (saga: string, event: string, what: string): string =>
  uuidv5(what, uuidv5(event, uuidv5(saga, namespace)))

/** Id of the nth output, from 0, of a saga's reaction to an event. */
export const outputId = (saga: string, eventId: string, n: number): string => derivedId(saga, eventId, String(n))

/** Id of the event that keeps an instance's state; another one for each time that the saga learns anew. */
export const stateId = (stream: string, eventId: string, generation: string): string =>
  derivedId(stream, eventId, generation)
