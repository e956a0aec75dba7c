import { accessEventTypes, review, type AccessEvent, type Directory, type PlacedEvent } from '@mcpctl/access'
import type { UnitOfWork } from '@mcpctl/event-store'
import type { Asked, Review } from '@mcpctl/resource'
import type { RevivedGrants } from './revived-grants'

const reviewed = new Set<string>(accessEventTypes)

/**
 * The rules on handing out rights, over whatever a request would append, by whichever path it came; and what it hands out unasked, by the names of
 * what it makes, is told with it.
 */
export const accessReview =
  (directory: Directory, revived: RevivedGrants): Review =>
  async (unit, asked, now) => {
    const warnings = await revived.tell(unit, asked)
    const end = await judge(directory, { unit, asked, now })
    return { warnings, ...(end && { end }) }
  }

interface Judged {
  unit: UnitOfWork
  asked: Asked
  now: string
}

/**
 * The append is conditioned on the facts that were judged, so that of two requests at once the second is judged again; those of one daemon wait
 * for each other, for the second would lose.
 */
const judge = async (
  directory: Directory,
  { unit, asked: { meta, rightsIn }, now }: Judged,
): Promise<(() => void) | undefined> => {
  const events = stagedIn(unit)
  if (events.length === 0) return undefined
  if (!rightsIn) throw new Error('rights are changed by nobody')
  const { facts, position, end } = await directory.beginChange()
  try {
    const placed = events.map((event): PlacedEvent =>
      Object.assign(event, { position: position + 1n, at: now, by: meta.actor.name }),
    )
    review({ before: facts, events: placed, author: { uid: meta.actor.uid, rights: rightsIn(facts) }, now })
    unit.require({ after: position, types: accessEventTypes })
    return end
  } catch (error) {
    end()
    throw error
  }
}

const stagedIn = (unit: UnitOfWork): (AccessEvent & { uid: string })[] =>
  unit
    .staged()
    .flatMap(({ streamId, events }) =>
      events
        .filter(({ type }) => reviewed.has(type))
        .map((event) => ({ ...(event as AccessEvent), uid: streamId.slice(streamId.indexOf('-') + 1) })),
    )
