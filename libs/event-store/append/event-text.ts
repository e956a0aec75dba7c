import { hash } from 'node:crypto'
import type { NewEvent, StreamAppend } from '../types'
import { canonical } from './canonical'

/** An event in RFC 8785 form, and the parts that the database keeps by themselves. */
export interface EventTexts {
  text: string
  data: string
  meta: string
}

/** Throws `Invalid`, with a pointer below `pointer`, for what JSON or PostgreSQL cannot hold. */
export const eventTexts = (
  { streamId, category }: Pick<StreamAppend, 'streamId' | 'category'>,
  event: NewEvent,
  pointer: string,
): EventTexts => {
  const written = (value: unknown, name: string) => canonical(value, `${pointer}/${name}`)
  const claims = written(event.claims ?? [], 'claims')
  const data = written(event.data, 'data')
  const meta = written(event.meta, 'meta')
  const start = `{"category":${written(category, 'category')},"claims":${claims},"data":${data},"id":${written(event.id, 'id')}`
  const end = `"streamId":${written(streamId, 'streamId')},"type":${written(event.type, 'type')}}`
  return { text: `${start},"meta":${meta},"schemaVersion":${event.schemaVersion},${end}`, data, meta }
}

/**
 * All that the application knows of an event, in RFC 8785 form: what the content hash is made of. Throws `Invalid`, with a pointer below
 * `pointer`, for what JSON or PostgreSQL cannot hold.
 */
export const canonicalEvent = (
  stream: Pick<StreamAppend, 'streamId' | 'category'>,
  event: NewEvent,
  pointer = '',
): string => eventTexts(stream, event, pointer).text

/** sha256 over `canonicalEvent`, hex: equal before storing and after reading back. */
export const contentHash = (stream: Pick<StreamAppend, 'streamId' | 'category'>, event: NewEvent): string =>
  sha256(canonicalEvent(stream, event))

export const sha256 = (text: string): string => hash('sha256', text)
