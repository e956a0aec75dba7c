import {
  mintToken,
  normalised,
  passwordOf,
  passwordProblem,
  Passwords,
  isStillPassword,
  rehashPassword,
  storePassword,
  findCode,
  takeCode,
  Throttle,
  type ThrottleLimits,
  Tokens,
  type Attempt,
  type UserFact,
} from '@mcpctl/access'
import { DomainError } from '@mcpctl/contracts'
import type { EventMeta, StreamAppend } from '@mcpctl/event-store'
import { inTransaction } from '@mcpctl/postgres'
import { UserModule } from '@mcpctl/kinds/user/user.module'
import { v7 as uuidv7 } from 'uuid'
import type { Store } from '../store/store'
import { anonymous, auditAppend } from './audit'
import { wrong } from './body'
import type { CredentialChanges } from './credential-changes'

/** A session ends at the latest after this time. */
const SESSION_MS = 7 * 24 * 3_600_000
const MOST_BYTES = 256
/** No user has it: looking for a password of nobody is as much work as looking for one of somebody. */
const nobody = anonymous.uid

/** From where and by which program somebody asks. */
export type Origin = Pick<EventMeta, 'correlationId' | 'sourceAddress' | 'userAgent'> & { address: string }

/** Somebody has shown who he is. */
export interface Session {
  token: string
  /** RFC 3339. */
  expiresAt: string
  user: string
}

const refused = () => new DomainError('Unauthorized', 'the name or the password is wrong')

/** Passwords and one-time codes, and the sessions that they open. */
export class Logins {
  private readonly passwords = new Passwords()
  private readonly throttle: Throttle

  constructor(
    private readonly store: Store,
    private readonly tokens: Tokens,
    private readonly changes: CredentialChanges,
    limits: ThrottleLimits,
  ) {
    this.throttle = new Throttle(store.pool, limits)
  }

  /**
   * Opens a session. Whether the user is unknown, disabled, a service user or the password is wrong makes no difference to the answer nor to the work
   * for it. Throws Unauthorized, TooManyRequests.
   */
  async login(name: string, password: string, origin: Origin): Promise<Session> {
    const attempt = await this.throttle.begin(name, origin.address)
    const { user, position } = await this.look(name)
    const stored = await passwordOf(this.store.pool, user && mayLogIn(user) ? user.uid : nobody)
    // Longer than any that could be set.
    const isShort = Buffer.byteLength(normalised(password)) <= MOST_BYTES
    const isRight = await this.verify(attempt, isShort ? password : '', stored)
    if (!isRight || !user || !isShort || stored === undefined) {
      await this.failed(origin, user, 'password')
      throw refused()
    }
    const hash = await this.renewed(user.uid, stored, password)
    await attempt.succeeded()
    return this.open(user, { origin, position, hash })
  }

  /**
   * Sets a password with a one-time code, ends the sessions there were, and opens one. A code that is right is taken however many were wrong
   * before: it cannot be guessed, and nobody must be able to keep others out by trying. Throws Unauthorized, TooManyRequests, Invalid.
   */
  async setUp(
    { name, code, password }: { name: string; code: string; password: string },
    origin: Origin,
  ): Promise<Session> {
    refuseWeak(password, name)
    const { user, position } = await this.look(name)
    const id = await findCode(this.store.pool, user && mayLogIn(user) ? user.uid : nobody, code)
    if (!user || id === undefined) {
      await this.throttle.begin(`setup ${name}`, origin.address)
      await this.failed(origin, user, 'code')
      throw new DomainError(
        'Unauthorized',
        'the name or the code is wrong, or the code is used or expired; ask for another one',
      )
    }
    const hash = await this.passwords.hash(password)
    const actor = { uid: user.uid, name: user.name }
    const ended = await this.changes.run({ meta: metaOf(origin, actor) }, async ({ unit, now }) => {
      await unit.decide(UserModule.decider, `user-${user.uid}`, { type: 'UseSetupCode', id, now })
      const sessions: string[] = []
      return {
        rows: async (transaction) => {
          if (!(await takeCode(transaction, id))) throw new DomainError('Unauthorized', 'the code is used already')
          await storePassword(transaction, user.uid, hash)
          sessions.push(...(await Tokens.endSessions(transaction, user.uid)))
        },
        result: sessions,
      }
    })
    this.tokens.forget(...ended)
    return this.open(user, { origin, position, hash })
  }

  /** Sets one's own password, knowing the current one; `proven` for the first one of a local administrator. Throws Unauthorized, Invalid. */
  async change(
    meta: EventMeta,
    given: {
      current: string | undefined
      password: string
      proven: boolean
      keptSession?: string
      endSessions: boolean
    },
  ): Promise<void> {
    const { actor } = meta
    refuseWeak(given.password, actor.name)
    if (!given.proven || (await passwordOf(this.store.pool, actor.uid)) !== undefined)
      await this.prove(meta, given.current)
    const hash = await this.passwords.hash(given.password)
    const ended = await this.changes.run({ meta }, async ({ unit }) => {
      await unit.decide(UserModule.decider, `user-${actor.uid}`, { type: 'SetPassword' })
      const sessions: string[] = []
      return {
        rows: async (transaction) => {
          await storePassword(transaction, actor.uid, hash)
          if (given.endSessions) sessions.push(...(await Tokens.endSessions(transaction, actor.uid, given.keptSession)))
        },
        result: sessions,
      }
    })
    this.tokens.forget(...ended)
  }

  /** Drops attempts that no longer matter. */
  purge(): Promise<void> {
    return this.throttle.purge()
  }

  private async prove({ actor, sourceAddress }: EventMeta, current: string | undefined): Promise<void> {
    if (current === undefined) throw wrong('current', 'is missing: your current password is needed')
    const attempt = await this.throttle.begin(actor.name, sourceAddress ?? '')
    const stored = await passwordOf(this.store.pool, actor.uid)
    // Not 401: the token is good, and clients would throw it away.
    if (!(await this.verify(attempt, current, stored)))
      throw new DomainError('Forbidden', 'the current password is wrong')
    await attempt.succeeded()
  }

  /** One that finds the line too long has not been tried. */
  private async verify(attempt: Attempt, password: string, stored: string | undefined): Promise<boolean> {
    try {
      return await this.passwords.verify(password, stored)
    } catch (error) {
      await attempt.dropped()
      throw error
    }
  }

  private async look(name: string): Promise<{ user: UserFact | undefined; position: bigint }> {
    const { directory } = this.store
    // Whoever was created a moment ago, on another daemon perhaps, may come in; and one who was not costs as much.
    directory.invalidate()
    const { facts, position } = await directory.current()
    const uid = facts.uidOf('User', name)
    return { user: uid === undefined ? undefined : facts.user(uid), position }
  }

  /** The hash that is stored, made anew where it was made with weaker parameters. */
  private async renewed(uid: string, stored: string, password: string): Promise<string> {
    if (!this.passwords.isOutdated(stored)) return stored
    const hash = await this.passwords.hash(password)
    if (await rehashPassword(this.store.pool, uid, { from: stored, to: hash })) return hash
    // Another login was faster, or somebody has set another password.
    const current = await passwordOf(this.store.pool, uid)
    if (current === undefined || !(await this.passwords.verify(password, current))) throw refused()
    return current
  }

  /** `hash`: of the password that was shown. One that is replaced meanwhile opens nothing. */
  private async open(
    user: UserFact,
    { origin, position, hash }: { origin: Origin; position: bigint; hash: string },
  ): Promise<Session> {
    const token = mintToken('ses')
    const tokenId = uuidv7()
    const expiresAt = new Date(Date.now() + SESSION_MS)
    const { uid, name } = user
    const grant = { uid, name, tokenId, tokenType: 'ses', expiresAt, seenPosition: position } as const
    const entry = {
      type: 'LoginSucceeded',
      data: { session: tokenId },
      meta: metaOf(origin, { uid, name }),
      uid,
    } as const
    await inTransaction(this.store.pool, async (transaction) => {
      if (!(await isStillPassword(transaction, uid, hash))) throw refused()
      await Tokens.store(transaction, token, grant)
      await this.appendTo(transaction, auditAppend(entry))
    })
    return { token, expiresAt: expiresAt.toISOString(), user: name }
  }

  /** The name that was typed is not recorded when it is nobody's: it may be a password. */
  private async failed(origin: Origin, user: UserFact | undefined, credential: 'password' | 'code'): Promise<void> {
    const entry = {
      type: 'LoginFailed',
      data: { credential },
      meta: metaOf(origin, anonymous),
      uid: user?.uid,
    } as const
    await this.store.log.append({ streams: [auditAppend(entry)] })
  }

  private async appendTo(
    transaction: Parameters<Store['log']['appendWithin']>[0],
    stream: StreamAppend,
  ): Promise<void> {
    const verdict = await this.store.log.appendWithin(transaction, { streams: [stream] })
    if (verdict.status !== 'ok') throw new DomainError('Unavailable', 'the login cannot be recorded; try again')
  }
}

const mayLogIn = ({ enabled, type }: UserFact): boolean => enabled && type === 'human'

const refuseWeak = (password: string, name: string): void => {
  const problem = passwordProblem(password, name)
  if (problem !== undefined) throw wrong('password', problem)
}

const metaOf = ({ address: _, ...origin }: Origin, actor: EventMeta['actor']): EventMeta => ({ actor, ...origin })
