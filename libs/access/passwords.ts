import { DomainError } from '@mcpctl/contracts'
import { hash, verify, type Options } from '@node-rs/argon2'
import pLimit from 'p-limit'
import { normalised } from './password-policy'

/** OWASP's password storage cheat sheet; the library's algorithm is argon2id unless told: with 19 MiB, two passes, one lane. */
const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const satisfies Options
const parametersText = `m=${parameters.memoryCost},t=${parameters.timeCost},p=${parameters.parallelism}`

export interface PasswordsOptions {
  /** Hashes that are computed at once, each with 19 MiB and one core; default 2. */
  parallel?: number
  /** More than these waiting are refused; default 32. */
  waiting?: number
}

/** Hashes passwords and checks them, so many at a time that nobody can take all cores or memory by logging in. */
export class Passwords {
  private readonly limit
  private readonly waiting: number
  private nobody: Promise<string> | undefined

  constructor({ parallel = 2, waiting = 32 }: PasswordsOptions = {}) {
    this.limit = pLimit(parallel)
    this.waiting = waiting
  }

  /** The hash to store, a PHC string. Throws TooManyRequests. */
  hash(password: string): Promise<string> {
    return this.inTurn(() => hash(normalised(password), parameters))
  }

  /** Whether the password is the one that was hashed. Without a hash the answer is no, after the same work. Throws TooManyRequests. */
  async verify(password: string, stored: string | undefined): Promise<boolean> {
    // Out of turn, once: were it refused, everybody could tell who has no password.
    const against = stored ?? (await (this.nobody ??= hash(crypto.randomUUID(), parameters)))
    const isRight = await this.inTurn(() => verify(against, normalised(password)))
    return isRight && stored !== undefined
  }

  /** Whether a hash was made with weaker parameters than today's; the next login replaces it. */
  isOutdated(stored: string): boolean {
    return !stored.startsWith('$argon2id$') || !stored.includes(`$${parametersText}$`)
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.limit.pendingCount >= this.waiting)
      throw new DomainError('TooManyRequests', 'too many are logging in just now; try again in a moment', {
        retryAfter: 1,
      })
    return this.limit(work)
  }
}
