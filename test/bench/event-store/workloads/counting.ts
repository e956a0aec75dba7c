import { createPool } from '@mcpctl/postgres'
import { Follower, Projector, type ProjectorOptions } from '@mcpctl/event-store'

type Project = ProjectorOptions['project']

/** Folds in memory, then writes one statement per batch. */
export const countPerStream =
  (table: string): Project =>
  async (tx, events) => {
    const counts = new Map<string, number>()
    for (const { streamId } of events) counts.set(streamId, (counts.get(streamId) ?? 0) + 1)
    await tx.query({
      name: `count-${table}`,
      text: `insert into rm.${table} as t select * from unnest($1::text[], $2::bigint[])
        on conflict (stream_id) do update set events = t.events + excluded.events`,
      values: [[...counts.keys()], [...counts.values()]],
    })
  }

/** A projector as mcpd runs it, connected and not yet started. */
export const openProjector = async (url: string, options: Omit<ProjectorOptions, 'pool' | 'follower'>) => {
  const pool = createPool(url, { applicationName: 'bench', role: 'mcpd_app', max: 20 })
  const follower = new Follower({ pool })
  await follower.start()
  const projector = new Projector({ pool, follower, ...options })
  return {
    pool,
    /** Starts it and waits until it has passed the position. */
    async reach(position: bigint) {
      projector.start()
      if (!(await projector.waitFor(position, 3_600_000)))
        throw new Error(`the projector stopped: ${projector.status().lastError ?? 'no reason given'}`)
    },
    async close() {
      await projector.stop()
      await follower.stop()
      await pool.end()
    },
  }
}
