import { EventCatalogue, Follower, Parked, PostgresEventLog, Projector } from '@mcpctl/event-store'
import { groupDecider } from '@mcpctl/kinds/group/group.decider'
import { groupReferences, groupView } from '@mcpctl/kinds/group/group.view'
import { instanceDecider } from '@mcpctl/kinds/instance/instance.decider'
import { instanceView } from '@mcpctl/kinds/instance/instance.view'
import { projectDecider } from '@mcpctl/kinds/project/project.decider'
import { projectReferences, projectView } from '@mcpctl/kinds/project/project.view'
import { rbacDecider } from '@mcpctl/kinds/rbac/rbac.decider'
import { rbacReferences, rbacView } from '@mcpctl/kinds/rbac/rbac.view'
import { serverDecider } from '@mcpctl/kinds/server/server.decider'
import { serverView } from '@mcpctl/kinds/server/server.view'
import { userDecider } from '@mcpctl/kinds/user/user.decider'
import { userView } from '@mcpctl/kinds/user/user.view'
import { objectModel, objectProjection, Objects, readModel, type ProjectedKind } from '@mcpctl/read-model'
import type { Pool } from 'pg'

/** Name of the read model of objects. */
export const MODEL = 'objects'

// Not the modules of the kinds: what they are wired with cannot be bundled for a process of a test.
const kinds = [
  { kind: 'Server', category: 'server', view: serverView },
  { kind: 'Instance', category: 'instance', view: instanceView },
  { kind: 'Project', category: 'project', view: projectView, references: projectReferences },
  { kind: 'User', category: 'user', view: userView },
  { kind: 'Group', category: 'group', view: groupView, references: groupReferences },
  { kind: 'RbacBinding', category: 'rbac', view: rbacView, references: rbacReferences },
] as ProjectedKind[]
const catalogue = new EventCatalogue([
  serverDecider,
  instanceDecider,
  projectDecider,
  userDecider,
  groupDecider,
  rbacDecider,
])

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
