import { DomainError, maskSecrets, type ErrorCode } from '@mcpctl/contracts'
import type { EventLog, EventMeta } from '@mcpctl/event-store'
import { userAgentOf, type AuthenticatedRequest } from '../http/guards'
import { auditAppend } from './audit'

/** The same refusal is told once in this time. Milliseconds. */
const ONCE_IN = 60_000
/** What one user can have told in that time; names are anybody's invention, and the log is kept for ever. */
const MOST_TOLD = 60
const MOST_REMEMBERED = 10_000

const told: ReadonlySet<ErrorCode> = new Set(['Forbidden', 'Escalation', 'SecretUse', 'ServerUse'])

/** Records who was refused what. Nobody waits for it, and no refusal fails for want of it. */
export class Denials {
  private readonly latest = new Map<string, number>()
  private readonly counts = new Map<string, number>()
  private since = performance.now()

  constructor(
    private readonly log: EventLog,
    private readonly warn: (error: unknown) => void,
  ) {}

  /** Records the refusal, unless it is none, or was told in the last minute. */
  record(thrown: unknown, request: AuthenticatedRequest): void {
    const { subject, impersonator } = request
    if (!(thrown instanceof DomainError) || !told.has(thrown.code) || !subject) return
    // A name is whatever somebody has typed: a secret in the wrong place must not stay in the log.
    const asked = maskSecrets(this.calmed(subject.uid, thrown.details.asked ?? thrown.message.slice(0, 256)))
    if (!this.isNew([subject.uid, impersonator?.uid, thrown.code, asked].join(' '))) return
    const userAgent = userAgentOf(request)
    const meta: EventMeta = {
      actor: subject,
      ...(impersonator && { impersonator }),
      correlationId: request.id,
      sourceAddress: request.ip,
      ...(userAgent !== undefined && { userAgent }),
    }
    const data = { asked, reason: thrown.code }
    this.log.append({ streams: [auditAppend({ type: 'AccessDenied', data, meta, uid: subject.uid })] }).catch(this.warn)
  }

  /** What was asked for; without names for one who asks for too many. */
  private calmed(uid: string, asked: string): string {
    this.forget()
    const count = (this.counts.get(uid) ?? 0) + 1
    this.counts.set(uid, count)
    return count <= MOST_TOLD ? asked : 'more than is told one by one'
  }

  private isNew(key: string): boolean {
    const now = performance.now()
    if (now - (this.latest.get(key) ?? -Infinity) < ONCE_IN) return false
    if (this.latest.size >= MOST_REMEMBERED) this.latest.clear()
    this.latest.set(key, now)
    return true
  }

  private forget(): void {
    if (performance.now() - this.since < ONCE_IN) return
    this.counts.clear()
    this.since = performance.now()
  }
}
