import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import type { ClaimChange, Decider, DomainEvent, JsonObject } from '@mcpctl/event-store'
import { instanceDecider, type InstanceEvent } from '@mcpctl/kinds/instance/instance.decider'
import { instanceView } from '@mcpctl/kinds/instance/instance.view'
import { projectDecider, type ProjectEvent } from '@mcpctl/kinds/project/project.decider'
import { projectView } from '@mcpctl/kinds/project/project.view'
import { serverDecider, type ServerEvent } from '@mcpctl/kinds/server/server.decider'
import { serverView } from '@mcpctl/kinds/server/server.view'
import type { ObjectView, ViewObject } from '@mcpctl/read-model'

/**
 * One event as some version of mcpd has stored it, and what it means: the decider's state and the object that is shown. A log is kept for ever, so these
 * files are never edited; a new shape gets a new version beside the old one.
 */
interface Golden {
  category: string
  type: string
  schemaVersion: number
  data: JsonObject
  claims?: ClaimChange[]
  /** Golden events of the same stream that came before. */
  after: string[]
  state: unknown
  object: unknown
}

// A type that is added to a union does not compile before it is named here.
const types: { [category: string]: object } = {
  server: {
    ServerCreated: true,
    ServerTemplateChanged: true,
    ReplicasChanged: true,
    ServerLabelled: true,
    ServerStatusReported: true,
    ServerDeletionRequested: true,
    ServerDeleted: true,
  } satisfies Record<ServerEvent['type'], true>,
  instance: {
    InstanceScheduled: true,
    InstanceStarted: true,
    InstanceRestarted: true,
    InstanceAdopted: true,
    InstanceStartFailed: true,
    InstanceReady: true,
    InstanceUnready: true,
    InstanceExited: true,
    InstanceDraining: true,
    InstanceStopped: true,
    OrphanRemoved: true,
  } satisfies Record<InstanceEvent['type'], true>,
  project: {
    ProjectCreated: true,
    ProjectDescribed: true,
    ProjectLabelled: true,
    ServerAttached: true,
    ServerDetached: true,
    MemberAdded: true,
    MemberRemoved: true,
    ProjectDeleted: true,
  } satisfies Record<ProjectEvent['type'], true>,
  user: { UserCreated: true, TokenIssued: true },
}

type AnyDecider = Decider<unknown, never, DomainEvent>
const folds = new Map<string, { decider: AnyDecider; view: ObjectView }>([
  ['server', { decider: serverDecider, view: serverView }],
  ['instance', { decider: instanceDecider, view: instanceView }],
  ['project', { decider: projectDecider, view: projectView }],
])

const directory = join(import.meta.dirname, 'events')
const files = readdirSync(directory).sort()
const read = (file: string) => JSON.parse(readFileSync(join(directory, file), 'utf8')) as Golden
const goldens = files.map((file) => [file, read(file)] as const)

const fold = ({ category, after, ...last }: Golden) => {
  const kind = folds.get(category)
  const view = kind?.view as ((object: ViewObject | undefined, event: object) => ViewObject | undefined) | undefined
  let state = kind?.decider.initial
  let object: ViewObject | undefined
  for (const event of [...after.map((type) => read(`${type}.v1.json`)), last]) {
    state = kind?.decider.evolve(state, event)
    object = view?.(object, { type: event.type, data: event.data, position: 1n, at: '2026-01-01T00:00:00.000000Z' })
  }
  return { state: asStored(state), object: asStored(object) }
}

const asStored = (value: unknown): unknown => (value === undefined ? null : JSON.parse(JSON.stringify(value)))

describe('the golden events', () => {
  it.each(Object.entries(types))('of %s are all there', (category, known) => {
    const found = goldens.filter(([, golden]) => golden.category === category).map(([, { type }]) => type)
    expect([...new Set(found)].sort()).toEqual(Object.keys(known).sort())
  })

  it('belong to a known kind', () => {
    expect(goldens.filter(([, { category }]) => !(category in types)).map(([file]) => file)).toEqual([])
  })

  it.each(goldens)('%s is named after what it holds', (file, { type, schemaVersion }) => {
    expect(file).toBe(`${type}.v${String(schemaVersion)}.json`)
  })

  it.each(goldens)('%s still means the same', (_, golden) => {
    expect(fold(golden)).toEqual({ state: golden.state, object: golden.object })
  })
})
