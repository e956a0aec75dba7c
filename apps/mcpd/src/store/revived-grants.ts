import { entryText, type AccessFacts, type Directory, type Entry, type Grant } from '@mcpctl/access'
import type { ClaimChange, EventLog, StagedEvents, UnitOfWork } from '@mcpctl/event-store'
import type { Bearers } from '@mcpctl/read-model'
import type { Asked, Resource, Resources } from '@mcpctl/resource'
import { auditEvents, type GrantRevivedEvent } from '../identity/audit-events'

/** What looking for them needs. */
export interface RevivedGrantsOptions {
  directory: Directory
  resources: Resources
  bearers: Bearers
  log: Pick<EventLog, 'read'>
}

interface Born {
  resource: Resource
  name: string
  uid: string
}

/** Grants of one object that hold again. */
interface Revived extends Born {
  grants: Grant[]
  goneAt: bigint
}

/** A warning names so many bindings and counts the others. */
const MOST_NAMED = 5
const PAGE = 1_000

/**
 * Grants by name outlive the object that they name: who makes another one of that name brings them to life again, knowing it or not. Told in the
 * log with the event that makes the object, and as a warning to those who may view the bindings. A grant that was given when nobody bore the name
 * yet, or that an object has borne since, is told of never.
 */
export class RevivedGrants {
  constructor(private readonly options: RevivedGrantsOptions) {}

  /** Looks at every object that the unit makes; costs something only where a binding names it. Answers the warnings for who asks. */
  async tell(unit: UnitOfWork, { meta, rights }: Pick<Asked, 'meta' | 'rights'>): Promise<string[]> {
    const born = unit.staged().flatMap((staged) => this.bornIn(staged))
    if (born.length === 0) return []
    const { facts } = await this.options.directory.current()
    const found = await Promise.all(born.map((each) => this.revivedBy(facts, each)))
    const revived = found.filter(({ grants }) => grants.length > 0)
    if (revived.length > 0)
      unit.tell(auditEvents, `${auditEvents.category}-${meta.actor.uid}`, revived.flatMap(eventsOf))
    return revived.flatMap(({ grants, ...rest }) => {
      const seen = grants.filter(({ rbac }) => rights?.allows({ role: 'view', kind: 'rbac', name: rbac.name }))
      return seen.length === 0 ? [] : [warningOf({ ...rest, grants: seen })]
    })
  }

  /** Objects that somebody asked for; instances come and go by themselves. */
  private bornIn({ category, streamId, events }: StagedEvents): Born[] {
    const resource = this.options.resources.all().find(({ decider }) => decider.category === category)
    if (!resource?.kind.verbs.includes('create')) return []
    return events
      .flatMap(({ claims = [] }) => claims)
      .filter(({ op, scope }) => op === 'take' && scope === 'name')
      .map(({ key }) => ({
        resource,
        name: key.slice(resource.kind.singular.length + 1),
        uid: streamId.slice(category.length + 1),
      }))
  }

  private async revivedBy(facts: AccessFacts, born: Born): Promise<Revived> {
    const { kind } = born.resource
    const places = kind.plural === 'servers' ? [kind.plural, 'instances'] : [kind.plural]
    const grants = places.flatMap((place) => facts.grantsNaming(place, born.name))
    const goneAt = grants.length === 0 ? 0n : await this.goneAt(born)
    return { ...born, goneAt, grants: grants.filter(({ granted }) => granted.position < goneAt) }
  }

  /** Where the last one of that name was deleted; 0 where there never was one. What the read model does not show yet is read from the log. */
  private async goneAt({ resource: { kind, decider }, name }: Born): Promise<bigint> {
    const { bearers, log } = this.options
    const { goneAt = 0n, readUntil } = await bearers.last({ kind: kind.name, name })
    const types = Object.keys(decider.events).filter((type) => type.endsWith('Deleted'))
    let last = goneAt
    for (let after = readUntil; ;) {
      const page = await log.read(after, PAGE, { types })
      for (const { claims, position } of page) if (releases(claims, `${kind.singular}/${name}`)) last = position
      if (page.length < PAGE) return last
      after = page.at(-1)?.position ?? after
    }
  }
}

const releases = (claims: readonly ClaimChange[] = [], wanted: string): boolean =>
  claims.some(({ op, scope, key }) => op === 'release' && scope === 'name' && key === wanted)

const eventsOf = ({ resource: { kind }, name, uid, grants, goneAt }: Revived): GrantRevivedEvent[] =>
  grants.map(({ rbac, entry, granted }) => ({
    type: 'GrantRevived',
    data: {
      rbac: { uid: rbac.uid, name: rbac.name },
      entry,
      object: { kind: kind.plural, name, uid },
      granted: { position: String(granted.position), at: granted.at, by: granted.by },
      deleted: { position: String(goneAt) },
    },
  }))

const textOf = (entry: Entry, rbac: { name: string }): string => `binding ${rbac.name} ${entryText(entry)}`

const warningOf = ({ resource: { kind }, name, grants }: Revived): string => {
  const named = grants.slice(0, MOST_NAMED).map(({ entry, rbac }) => textOf(entry, rbac))
  const others = grants.length - named.length
  const amount = grants.length === 1 ? '1 grant' : `${String(grants.length)} grants`
  const list = [...named, ...(others > 0 ? [`${String(others)} more`] : [])].join(', ')
  const [first] = grants
  return `another ${kind.singular} "${name}" was there before: making this one brings ${amount} to life again: ${list}; see: mcpctl describe rbac ${first?.rbac.name ?? ''}`
}
