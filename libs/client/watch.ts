import type { IncomingMessage } from 'node:http'
import type { Problem, ResourceObject } from '@mcpctl/contracts'
import { ApiError, ConnectionError } from './errors'
import type { HttpClient } from './http'
import { linesOf } from './lines'

export interface WatchQuery {
  labelSelector?: string | undefined
  fieldSelector?: string | undefined
  /** Where to go on from: the version of a list, or the id of the last event. */
  from: string
  signal?: AbortSignal | undefined
}

export interface WatchEvent {
  /** `BOOKMARK`: nothing has happened up to the id; of the object it holds kind and version only. */
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'
  id: string
  object: ResourceObject
}

interface Frame {
  type: string
  id: string
  data: string
}

/** The daemon shows every 15 seconds that it lives; one that is silent for so long is gone. */
const silentMs = 45_000

/**
 * What happens to objects of a kind, in order and without a gap, until the daemon ends the stream. Whoever comes back with the last id misses
 * nothing. Throws `ApiError`, with `Expired` or `AccessChanged` for one who has to list again, and `ConnectionError`.
 */
export async function* watchObjects(http: HttpClient, plural: string, query: WatchQuery): AsyncGenerator<WatchEvent> {
  const { labelSelector, fieldSelector, from, signal } = query
  const message = await http.stream({
    path: `/api/v1/${plural}`,
    query: { watch: '1', labelSelector, fieldSelector },
    headers: { accept: 'text/event-stream', 'last-event-id': from },
    timeoutMs: silentMs,
    signal,
  })
  try {
    for await (const { type, id, data } of framesOf(message)) {
      const object: unknown = JSON.parse(data)
      if (type === 'ERROR') throw new ApiError(object as Problem, undefined)
      yield { type: type as WatchEvent['type'], id, object: object as ResourceObject }
    }
  } catch (error) {
    if (signal?.aborted) return
    throw error instanceof ApiError || error instanceof ConnectionError ? error : http.unreachable(error)
  } finally {
    message.destroy()
  }
}

/** Server-sent events as the HTML standard defines them, as far as mcpd sends them: no comment, and data in one line. */
async function* framesOf(message: IncomingMessage): AsyncGenerator<Frame> {
  let id = ''
  let type = ''
  let data: string | undefined
  for await (const line of linesOf(message)) {
    const [, field = '', value = ''] = /^(\w+): ?(.*)$/.exec(line) ?? []
    if (field === 'id') id = value
    else if (field === 'event') type = value
    else if (field === 'data') data = value
    else if (line === '' && data !== undefined) {
      yield { type, id, data }
      data = undefined
    }
  }
}
