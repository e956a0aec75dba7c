import { Readable } from 'node:stream'
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common'
import { DomainError, type Kind } from '@mcpctl/contracts'
import { ObjectFeed, selectorOf } from '@mcpctl/read-model'
import type { FastifyReply } from 'fastify'
import { STORE, type Store } from '../store/store'
import type { AuthenticatedRequest } from './guards'
import { OpenStreams } from './open-streams'
import { asDomainError } from './problem.filter'
import { Watch } from './watch'
import { parseWatchQuery, requireEventStream } from './watch-query'
import { accessChanged, WatchReader } from './watch-reader'

const MOST_PER_TOKEN = 50
/** Every other beat is a bookmark. Milliseconds. */
const BEAT_MS = 15_000
/** A reader that does not take the last word in this time is cut off without it. Milliseconds; a lost right tells within a second. */
const GOODBYE_MS = 400

/** All watches of this daemon. Those of a kind share one reading of what happens. */
@Injectable()
export class Watches implements OnModuleDestroy {
  private readonly open = new Set<Watch>()
  private readonly feeds = new Map<string, ObjectFeed>()
  private readonly unsubscribe: () => void
  private readonly timer: NodeJS.Timeout
  private beats = 0
  private isEnding = false

  constructor(
    @Inject(STORE) private readonly store: Store,
    private readonly streams: OpenStreams,
  ) {
    const { follower, projector } = store
    const { name } = projector.status()
    this.unsubscribe = follower.onCheckpoint(({ processor }) => {
      if (processor === name) for (const feed of this.feeds.values()) feed.wake()
    })
    this.timer = setInterval(() => this.beat(), BEAT_MS).unref()
  }

  /**
   * Objects of a kind as they change, from what the request knows on; a filter of what its reader may see. Throws BadRequest, NotAcceptable,
   * Expired for a version of another epoch, and TooManyRequests.
   */
  start(kind: Kind, request: AuthenticatedRequest, reply: FastifyReply): Readable {
    const { directory, objects, changes } = this.store
    requireEventStream(request)
    const query = parseWatchQuery(request, objects.epoch)
    const isChosen = selectorOf(query)
    const reader = new WatchReader(request, directory, kind)
    this.refuseTooMany(reader)
    const scene = { kind, objects, changes, feed: this.feedOf(kind), query, isChosen, reader, requestId: request.id }
    const watch = new Watch(scene, () => setTimeout(() => reply.raw.destroy(), GOODBYE_MS).unref())
    const release = this.endWhenLost(watch, reader, request)
    this.open.add(watch)
    reply.raw.once('close', () => {
      release()
      watch.abandon()
      this.open.delete(watch)
    })
    // A daemon that ends need not wait for what the client might ask next.
    reply.headers({
      'content-type': 'text/event-stream; charset=utf-8',
      'x-accel-buffering': 'no',
      connection: 'close',
    })
    return Readable.from(watch.frames(), { objectMode: false })
  }

  /** Tells every client that the connection lives. */
  beat(): void {
    this.beats++
    for (const watch of this.open) watch.beat(this.beats % 2 === 0)
  }

  onModuleDestroy(): void {
    this.isEnding = true
    clearInterval(this.timer)
    this.unsubscribe()
    for (const watch of this.open) watch.end()
  }

  private refuseTooMany({ tokenId }: WatchReader): void {
    if (this.isEnding) throw new DomainError('Unavailable', 'this daemon is about to end', { retryAfter: 1 })
    const held = [...this.open].filter((watch) => watch.tokenId === tokenId)
    if (held.length < MOST_PER_TOKEN) return
    const text = `a token may watch ${String(MOST_PER_TOKEN)} times at once; end one of these watches first`
    throw new DomainError('TooManyRequests', text, { retryAfter: 5 })
  }

  private feedOf(kind: Kind): ObjectFeed {
    const feed = this.feeds.get(kind.name) ?? new ObjectFeed(this.store.changes, kind)
    this.feeds.set(kind.name, feed)
    return feed
  }

  private endWhenLost(watch: Watch, reader: WatchReader, request: AuthenticatedRequest): () => void {
    let isChanged = false
    return this.streams.watch(request, {
      isAllowed: (rights) => {
        isChanged = !reader.seesTheSameBy(rights)
        return !isChanged
      },
      close: () => {
        if (isChanged) watch.end(accessChanged())
        else void this.whyLost(reader).then((error) => watch.end(error))
      },
    })
  }

  /** The token is not valid any more, unless nobody can tell. */
  private async whyLost(reader: WatchReader): Promise<DomainError> {
    try {
      await reader.confirm()
      return new DomainError('Unauthorized', 'the token is not valid any more')
    } catch (error) {
      return asDomainError(error)
    }
  }
}
