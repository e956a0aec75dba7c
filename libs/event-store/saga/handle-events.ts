import type { PoolClient } from 'pg'
import { DomainError } from '@mcpctl/contracts'
import { canonical } from '../append/canonical'
import type { PostgresEventLog } from '../postgres-event-log'
import type { EventMeta, Json, ProjectedEvent, StreamAppend } from '../types'
import { enqueue, type Entry } from './outbox'
import { instanceStream, outputId, sagaCategory, stateId, type Saga } from './saga'
import { standingOf, statesIn, type Standing, type StoredState } from './standing'

interface Instance<State> {
  name: string
  stream: string
  /** Of the stream, as stored. */
  version: number
  state: State
  /** The state as stored; undefined when there is none of this generation. */
  stored: string | undefined
  /** The last event seen, of those that led here. */
  seen: bigint
  last?: ProjectedEvent
  outputs: Entry[]
}

export interface Handling<State, Output extends object> {
  saga: Saga<State, Output>
  log: PostgresEventLog
  actor: EventMeta['actor']
}

/**
 * One step of a saga, in the transaction that moves its checkpoint: folds the events into the states of the instances, puts into the outbox what
 * is to be done, and appends the states, which comes last since it holds the log until the commit. Events seen before change nothing.
 */
export const handleEvents = async <State, Output extends object>(
  { saga, log, actor }: Handling<State, Output>,
  tx: PoolClient,
  events: ProjectedEvent[],
): Promise<void> => {
  const mine = events.flatMap((event) => {
    const name = event.category === sagaCategory ? undefined : saga.correlate(event)
    return name === undefined ? [] : [{ event, name }]
  })
  if (mine.length === 0) return
  const standing = await standingOf(tx, saga.name)
  const instances = await load(saga, tx, { standing, names: mine.map(({ name }) => name) })
  for (const { event, name } of mine)
    advance(saga, standing, { event, instance: instances.get(name) as Instance<State> })
  const changed = [...instances.values()].filter(hasChanged)
  if (changed.length === 0) return
  const streams = changed.map((instance) => stateAppend(instance, standing, actor))
  await enqueue(
    tx,
    saga.name,
    changed.flatMap(({ outputs }) => outputs),
  )
  const verdict = await log.appendWithin(tx, { streams })
  if (verdict.status !== 'ok')
    throw new DomainError('Conflict', `the streams of saga "${saga.name}" were written to by somebody else`)
}

const load = async <State, Output extends object>(
  saga: Saga<State, Output>,
  tx: PoolClient,
  { standing, names }: { standing: Standing; names: string[] },
): Promise<Map<string, Instance<State>>> => {
  const fresh = [...new Set(names)].map((name) => ({ name, stream: instanceStream(saga.name, name) }))
  const rows = await statesIn(
    tx,
    fresh.map(({ stream }) => stream),
  )
  const found = new Map(rows.map((row) => [row.stream, row]))
  return new Map(
    fresh.map(({ name, stream }) => {
      const row = found.get(stream)
      const current = row?.generation === standing.generation ? row : undefined
      const instance: Instance<State> = {
        name,
        stream,
        version: row?.version ?? 0,
        state: current ? (current.state as State) : saga.initial,
        stored: current && canonical(current.state, '/state'),
        seen: BigInt(current?.source ?? 0),
        outputs: [],
      }
      return [name, instance]
    }),
  )
}

const advance = <State, Output extends object>(
  saga: Saga<State, Output>,
  { liveFrom }: Standing,
  { event, instance }: { event: ProjectedEvent; instance: Instance<State> },
): void => {
  if (event.position <= instance.seen) return
  instance.state = saga.evolve(instance.state, event)
  instance.seen = event.position
  instance.last = event
  const outputs = event.position > liveFrom ? saga.react(instance.state, event) : []
  outputs.forEach((output, n) => {
    const id = outputId(saga.name, event.id, n)
    instance.outputs.push({ id, instance: instance.name, ordinal: n, event, output: canonical(output, '/output') })
  })
}

const hasChanged = <State>({ last, outputs, state, stored }: Instance<State>): boolean =>
  last !== undefined && (outputs.length > 0 || canonical(state, '/state') !== stored)

const stateAppend = <State>(
  { last, seen, state, stream, version }: Instance<State>,
  { generation }: Standing,
  actor: EventMeta['actor'],
): StreamAppend => {
  const { id, meta } = last as ProjectedEvent
  const data: StoredState = { generation, source: String(seen), state: state as Json }
  const { correlationId } = meta
  const event = {
    id: stateId(stream, id, generation),
    type: 'SagaAdvanced',
    schemaVersion: 1,
    data,
    meta: { actor, causationId: id, ...(correlationId !== undefined && { correlationId }) },
  }
  return { streamId: stream, category: sagaCategory, expected: version, events: [event] }
}
