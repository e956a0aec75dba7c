import { AnswerTooLarge } from './exchange'
import { LineReader } from './lines'

/** One server-sent event. */
export interface StreamEvent {
  id?: string
  data: string
  /** Milliseconds to wait before taking the stream up again. */
  retry?: number
}

/** The events of a `text/event-stream` body as they come. Throws AnswerTooLarge when one line is longer than the limit. */
export async function* streamEvents(body: AsyncIterable<Buffer>, limit: number): AsyncGenerator<StreamEvent> {
  let ready: StreamEvent[] = []
  let fields: [string, string][] = []
  const line = (text: string) => {
    if (text !== '') return void fields.push(splitField(text))
    const event = toEvent(fields)
    fields = []
    if (event) ready.push(event)
  }
  const oversize = () => {
    throw new AnswerTooLarge(`an event is larger than ${limit} bytes`)
  }
  const reader = new LineReader({ line, oversize }, limit)
  for await (const chunk of body) {
    reader.push(chunk)
    const events = ready
    ready = []
    yield* events
  }
}

const splitField = (line: string): [string, string] => {
  const colon = line.indexOf(':')
  if (colon === -1) return [line, '']
  const value = line.slice(colon + 1)
  return [line.slice(0, colon), value.startsWith(' ') ? value.slice(1) : value]
}

const toEvent = (fields: [string, string][]): StreamEvent | undefined => {
  if (fields.length === 0) return undefined
  const last = (name: string) => fields.findLast(([key]) => key === name)?.[1]
  const data = fields.filter(([key]) => key === 'data').map(([, value]) => value)
  const id = last('id')
  const retry = Number(last('retry') ?? Number.NaN)
  return {
    data: data.join('\n'),
    ...(id !== undefined && { id }),
    ...(Number.isInteger(retry) && { retry }),
  }
}
