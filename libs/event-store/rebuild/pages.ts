import type { Pool } from 'pg'
import { batchAfter } from '../rows'
import type { ProjectedEvent } from '../types'

const limits = { events: 1_000, bytes: 4 * 1024 * 1024 }

/** The events after a position, in order, as many as fit into memory; none at the end of the log. */
export const pageAfter = async (pool: Pool, after: bigint): Promise<ProjectedEvent[]> =>
  (await batchAfter(pool, after, limits)).events

/**
 * The log after a position, in order, up to `upTo` or to its end as it is found, in pages that fit into memory. The next page is read
 * while the caller is busy with the present one, on a connection of its own.
 */
export async function* pagesAfter(pool: Pool, after: bigint, upTo?: bigint): AsyncGenerator<ProjectedEvent[]> {
  const read = (position: bigint) => {
    const page = batchAfter(pool, position, limits)
    // Whoever takes it hears of the error.
    page.catch(() => undefined)
    return page
  }
  let next = read(after)
  for (;;) {
    const { events, more } = await next
    const last = events.at(-1)
    if (!last) return
    const isLast = !more || (upTo !== undefined && last.position >= upTo)
    if (!isLast) next = read(last.position)
    yield upTo === undefined ? events : events.filter(({ position }) => position <= upTo)
    if (isLast) return
  }
}
