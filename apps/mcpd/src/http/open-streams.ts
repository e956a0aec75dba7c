import type { Ask, Directory, Identity, Rights, Tokens } from '@mcpctl/access'
import type { FastifyReply } from 'fastify'
import type { AuthenticatedRequest } from './guards'

interface Open {
  identity: Identity
  isAllowed: () => Promise<boolean>
  close: () => void
}

/** So often it is asked whether what goes on may go on. Milliseconds; a lost right must tell within a second, on every daemon. */
const EVERY = 400

/** Answers that go on: log lines, tool calls, watches. Whoever loses the right, or the token, loses them too. */
export class OpenStreams {
  private readonly open = new Set<Open>()
  private timer: NodeJS.Timeout | undefined
  private isLooking = false

  constructor(
    private readonly directory: Directory,
    private readonly tokens: Tokens,
  ) {
    // A right that is lost by a request to this daemon tells at once.
    directory.onChange(() => void this.look())
  }

  /** How many answers go on. */
  get size(): number {
    return this.open.size
  }

  /** Cuts the answer off when the request could not be made again: another daemon's revoke takes less than a second. */
  closeWhenLost(request: AuthenticatedRequest, ask: Ask, reply: FastifyReply): void {
    const release = this.watch(request, {
      isAllowed: (rights) => rights.allows(ask),
      close: () => reply.raw.destroy(),
    })
    reply.raw.once('close', release)
  }

  /** Calls `close` once when the token is not valid any more or `isAllowed` says no of the rights that the request has by now. Returns the way out. */
  watch(
    { identity, rightsIn }: AuthenticatedRequest,
    { isAllowed, close }: { isAllowed: (rights: Rights) => boolean; close: () => void },
  ): () => void {
    if (!identity || !rightsIn) throw new Error('the route was reached without authentication')
    const one: Open = {
      identity,
      isAllowed: async () => isAllowed(rightsIn((await this.directory.current()).facts)),
      close,
    }
    this.open.add(one)
    this.timer ??= setInterval(() => {
      // What is half a second old would not do: both together could take a second.
      this.directory.invalidate()
      void this.look()
    }, EVERY).unref()
    return () => this.release(one)
  }

  private release(one: Open): void {
    this.open.delete(one)
    if (this.open.size > 0) return
    clearInterval(this.timer)
    this.timer = undefined
  }

  private async look(): Promise<void> {
    if (this.isLooking) return
    this.isLooking = true
    try {
      const valid = new Map<string, Promise<boolean>>()
      await Promise.all([...this.open].map((one) => this.check(one, valid)))
    } finally {
      this.isLooking = false
    }
  }

  /** A token is asked for once, however many answers go on for it. Nobody goes on of whom nobody can tell. */
  private async check(one: Open, valid: Map<string, Promise<boolean>>): Promise<void> {
    const { identity, isAllowed, close } = one
    const known = valid.get(identity.tokenId) ?? this.isValid(identity)
    valid.set(identity.tokenId, known)
    const isFine = (await known) && (await isAllowed().catch(() => false))
    if (isFine || !this.open.has(one)) return
    this.release(one)
    close()
  }

  /** While the database is away, what goes on does so as long as rights are known. */
  private async isValid(identity: Identity): Promise<boolean> {
    return this.tokens.isValid(identity).catch(() => true)
  }
}
