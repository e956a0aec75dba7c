import type { AppendRequest, NewEvent } from '../types'
import type { EventTexts } from './event-text'

/** A value for each column that `es.append_columns` and `es.append_alone` take, in their order. An empty one says that there is nothing. */
export type Columns = readonly string[]

/** A request of one event for one stream, without rules and taking one claim at most, as columns. Nothing for any other. */
export const columnsOf = (
  request: AppendRequest,
  texts: (EventTexts & { hash: string }) | undefined,
  result = '',
): Columns | undefined => {
  const stream = only(request.streams)
  const event = stream && only(stream.events)
  if (!event || !texts || hasRules(request)) return undefined
  const { streamId, category, expected } = stream
  const claim = claimOf(event)
  const command = commandOf(request, result)
  if (!claim || !command || ![streamId, category, event.type].every(fitsLine)) return undefined
  const about = [streamId, category, String(expected), event.id, event.type, String(event.schemaVersion)]
  return [...about, texts.data, texts.meta, `\\x${texts.hash}`, ...claim, ...command]
}

const noClaim = ['', '']
const noCommand = ['', '', '']

const claimOf = ({ claims = [] }: NewEvent): string[] | undefined => {
  const claim = only(claims)
  if (!claim) return claims.length === 0 ? noClaim : undefined
  return claim.op === 'take' ? fitting([claim.scope, claim.key]) : undefined
}

const commandOf = ({ command }: AppendRequest, result: string): string[] | undefined =>
  command ? fitting([command.id, command.requestHash, result]) : noCommand

const fitting = (values: string[]): string[] | undefined => (values.every(fitsLine) ? values : undefined)

const hasRules = ({ condition, fence }: AppendRequest) => condition !== undefined || fence !== undefined

const only = <T>(items: T[]): T | undefined => (items.length === 1 ? items[0] : undefined)

const fitsLine = (text: string) => text !== '' && !text.includes('\n')

/** A text per column, with a line per request; null for a column that no request has anything in. */
export const columnTexts = (rows: Columns[]): (string | null)[] =>
  (rows[0] ?? []).map((_, n) => {
    const values = rows.map((row) => row[n] ?? '')
    return values.every((value) => value === '') ? null : values.join('\n')
  })
