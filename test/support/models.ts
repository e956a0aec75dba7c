import { EventCatalogue, Follower, Parked, PostgresEventLog, Projector } from '@mcpctl/event-store'
import { resources } from '@mcpctl/kinds/modules'
import { objectModel, objectProjection, Objects, readModel } from '@mcpctl/read-model'
import type { Pool } from 'pg'

/** Name of the read model of objects. */
export const MODEL = 'objects'

const kinds = resources.map(({ kind, view, references }) => ({
  kind: kind.name,
  category: kind.singular,
  view,
  ...(references && { references }),
}))
const catalogue = new EventCatalogue(resources.map(({ decider }) => decider))

/** The read model of objects as mcpd has it, with a folding code of any name. */
export const objects = (fold = 'a') => objectModel({ name: MODEL, kinds, epoch: 1, fold, catalogue })

export const projectionOf = (fold = 'a', alsoFolds: string[] = []) => ({
  name: MODEL,
  fold,
  alsoFolds,
  catalogue,
  project: objectProjection(kinds, 1),
})

/** What follows the log in a daemon, without the daemon. */
export const followLog = async (pool: Pool, fold = 'a') => {
  const log = new PostgresEventLog({ pool })
  const follower = new Follower({ pool })
  const projector = new Projector({ pool, follower, ...projectionOf(fold) })
  await follower.start()
  projector.start()
  return {
    log,
    projector,
    objects: new Objects(readModel(pool), 1, MODEL),
    parked: new Parked({ pool, projections: [projectionOf(fold)] }),
    /** Waits until the views show everything. */
    async caughtUp() {
      const head = await log.head()
      if (!(await projector.waitFor(head, 30_000))) throw new Error('the projector is behind')
      return head
    },
    async stop() {
      await projector.stop()
      await follower.stop()
    },
  }
}

/** Everything that the views show, a line per row. */
export const contents = async (db: Pick<Pool, 'query'>): Promise<string[]> => {
  const { rows } = await db.query<{ line: string }>(
    `(select concat_ws(' ', kind, uid, name, labels, from_position, to_position, object::text) as line
       from rm.object order by uid, from_position)
     union all
     (select concat_ws(' ', from_kind, from_uid, from_name, to_kind, to_name) from rm.reference
       order by from_uid, to_kind, to_name)`,
  )
  return rows.map(({ line }) => line)
}
