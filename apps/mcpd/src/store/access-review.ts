import { accessEventTypes, review, type AccessEvent, type Directory, type PlacedEvent } from '@mcpctl/access'
import type { UnitOfWork } from '@mcpctl/event-store'
import type { Review } from '@mcpctl/resource'

const reviewed = new Set<string>(accessEventTypes)

/**
 * The rules on handing out rights, over whatever a request would append, by whichever path it came. The append is conditioned on the facts that
 * were judged, so that of two requests at once the second is judged again; those of one daemon wait for each other, for the second would lose.
 */
export const accessReview =
  (directory: Directory): Review =>
  async (unit, { meta, rightsIn }, now) => {
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
