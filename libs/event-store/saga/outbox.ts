import type { Pool, PoolClient } from 'pg'
import { DomainError } from '@mcpctl/contracts'
import { validate as isUuid } from 'uuid'
import { answered } from '../database-errors'
import type { JsonObject, ProjectedEvent } from '../types'
import type { SagaMessage } from './saga'

/** An output on its way into the outbox. */
export interface Entry {
  id: string
  instance: string
  ordinal: number
  event: ProjectedEvent
  /** JSON text. */
  output: string
}

/** Stores what is to be sent. What is there already stays as it is. */
export const enqueue = async (tx: PoolClient, saga: string, entries: readonly Entry[]): Promise<void> => {
  if (entries.length === 0) return
  await tx.query({
    name: 'es-outbox-add',
    text: `insert into es.outbox (id, processor, instance, position, ordinal, output, cause, correlation)
      select e.id, $1, e.instance, e.position, e.ordinal, e.output::jsonb, e.cause, e.correlation
      from unnest($2::uuid[], $3::text[], $4::bigint[], $5::integer[], $6::text[], $7::uuid[], $8::text[])
        e (id, instance, position, ordinal, output, cause, correlation)
      on conflict do nothing`,
    values: [
      saga,
      entries.map(({ id }) => id),
      entries.map(({ instance }) => instance),
      entries.map(({ event }) => String(event.position)),
      entries.map(({ ordinal }) => ordinal),
      entries.map(({ output }) => output),
      entries.map(({ event }) => event.id),
      entries.map(({ event }) => event.meta.correlationId ?? null),
    ],
  })
}

/** The message that is due next, and how often it was tried. */
export interface Due<Output extends object> {
  message: SagaMessage<Output>
  attempts: number
}

interface Row {
  id: string
  instance: string
  position: string
  output: unknown
  cause: string
  correlation: string | null
  attempts: number
}

// None while another version of the saga is the active one: what that one says may be unknown here.
const due = `select id::text, instance, position::text, output, cause::text, correlation, attempts from es.outbox o
  where processor = $1 and status = 'pending' and due_at <= clock_timestamp()
    and exists (select from es.checkpoint c where c.processor = $1 and c.active and c.fold = $2)
    and not exists (
      select from es.outbox before where before.processor = $1 and before.instance = o.instance
        and (before.position, before.ordinal) < (o.position, o.ordinal))`

/** Which outbox, and which code may send what is in it. */
export interface Sender {
  name: string
  version: number
}

/** The oldest message that is due and has none of its instance before it; locked, and passed over while somebody else has it. */
export const takeDue = async <Output extends object>(
  tx: PoolClient,
  { name, version }: Sender,
): Promise<Due<Output> | undefined> => {
  const { rows } = await tx.query<Row>({
    name: 'es-outbox-take',
    text: `${due} order by o.position, o.ordinal limit 1 for update skip locked`,
    values: [name, String(version)],
  })
  const [row] = rows
  if (!row) return undefined
  const { id, instance, position, output, cause, correlation, attempts } = row
  const message = {
    id,
    saga: name,
    instance,
    output: output as Output,
    causationId: cause,
    position: BigInt(position),
    ...(correlation !== null && { correlationId: correlation }),
  }
  return { message, attempts }
}

/** Whether somebody has a message that is due. */
export const isSending = async (tx: PoolClient, { name, version }: Sender): Promise<boolean> => {
  const { rowCount } = await tx.query({
    name: 'es-outbox-due',
    text: `${due} limit 1`,
    values: [name, String(version)],
  })
  return rowCount === 1
}

/** Takes a message that was sent out of the outbox. */
export const remove = async (tx: PoolClient, id: string): Promise<void> => {
  await tx.query({ name: 'es-outbox-remove', text: 'delete from es.outbox where id = $1', values: [id] })
}

export interface Failure {
  id: string
  error: string
  /** False while the receiver is merely away. */
  counts: boolean
  retryMs: number
  parks: boolean
}

/** Writes down why a message could not be sent, and when it is tried again, if at all. */
export const postpone = async (tx: PoolClient, { id, error, counts, retryMs, parks }: Failure): Promise<void> => {
  await tx.query(
    `update es.outbox set last_error = $2, attempts = attempts + $3, status = $4,
       due_at = clock_timestamp() + $5 * interval '1 ms' where id = $1`,
    [id, error, counts ? 1 : 0, parks ? 'parked' : 'pending', retryMs],
  )
}

/** A message that could not be sent. Later ones of its instance wait behind it. */
export interface ParkedMessage {
  id: string
  saga: string
  instance: string
  position: bigint
  output: JsonObject
  error: string
  attempts: number
  /** How many messages of the instance wait behind it. */
  queued: number
}

/** What sagas could not get sent, for the people who have to decide about it. Works from any process. Throws `Unavailable`. */
export class Outbox {
  constructor(private readonly pool: Pool) {}

  /** In the order of the log; of one saga, or of all. */
  async parked(saga?: string): Promise<ParkedMessage[]> {
    const query = this.pool.query<Omit<ParkedMessage, 'position'> & { position: string }>(
      `select o.id::text, o.processor as saga, o.instance, o.position::text, o.output, o.last_error as error, o.attempts, (
         select count(*)::integer from es.outbox behind where behind.processor = o.processor
           and behind.instance = o.instance and (behind.position, behind.ordinal) > (o.position, o.ordinal)) as queued
       from es.outbox o where o.status = 'parked' and ($1::text is null or o.processor = $1)
       order by o.position, o.processor, o.ordinal`,
      [saga ?? null],
    )
    const { rows } = await answered('listing parked messages', query)
    return rows.map((row) => ({ ...row, position: BigInt(row.position) }))
  }

  /** Has it sent again, with the attempts of a new one. Throws `NotFound` for what is not parked. */
  async retry(id: string): Promise<void> {
    await this.decide(
      `update es.outbox set status = 'pending', attempts = 0, due_at = clock_timestamp() where id = $1 and status = 'parked'`,
      id,
    )
  }

  /** Gives it up, for ever; the instance goes on with what waits behind it. Throws `NotFound` for what is not parked. */
  async skip(id: string): Promise<void> {
    await this.decide(`delete from es.outbox where id = $1 and status = 'parked'`, id)
  }

  private async decide(text: string, id: string) {
    const decided = isUuid(id)
      ? await answered('what was asked of a parked message', this.pool.query(text, [id]))
      : undefined
    if (!decided?.rowCount)
      throw new DomainError(
        'NotFound',
        `no message "${id}" is parked: it was sent, retried or skipped before, or never was`,
      )
  }
}
