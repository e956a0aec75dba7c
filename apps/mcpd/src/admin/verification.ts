import { createPublicKey, type KeyObject } from 'node:crypto'
import { DomainError, type LogFinding, type VerifyProgress, type VerifyReport } from '@mcpctl/contracts'
import { parseSeal, verifyLog, verifyModel, type RebuildableModel, type TrustedSeals } from '@mcpctl/event-store'
import type { Pool } from 'pg'

export interface Checks {
  pool: Pool
  models: readonly RebuildableModel[]
  seals: TrustedSeals | undefined
  onProgress: (progress: VerifyProgress) => void
  /** Ends the checks; they throw its reason. */
  signal: AbortSignal
}

/** Checks the log, its claims and every read model against the log, in this order, up to the first fault. Throws Unavailable when the database goes away. */
export const verifyStore = async (checks: Checks): Promise<VerifyReport> => {
  const { pool, models, onProgress, signal } = checks
  const report: VerifyReport = { ok: true, models: [] }
  const finding = await verifyEvents(checks, report)
  if (finding) return { ...report, ok: false, finding }
  for (const model of models) {
    const tell = ({ position, to }: { position: bigint; to: bigint }) => {
      onProgress({ subject: model.name, position: String(position), to: String(to) })
    }
    signal.throwIfAborted()
    const { position, difference } = await verifyModel(pool, model, { onProgress: tell, signal })
    const at = String(position)
    if (difference)
      return { ...report, ok: false, finding: { in: 'model', model: model.name, comparedAt: at, ...difference } }
    report.models.push({ name: model.name, position: at })
  }
  return report
}

const verifyEvents = async (
  { pool, seals, onProgress, signal }: Checks,
  report: VerifyReport,
): Promise<LogFinding | undefined> => {
  const found = await verifyLog(pool, {
    ...(seals && { seals }),
    onProgress: ({ position, to }) => {
      // A throw is the way to end it.
      signal.throwIfAborted()
      onProgress({ subject: 'log', position: String(position), to: String(to) })
    },
  })
  if (!found.ok) {
    const { problem, position, field, message } = found
    return { in: 'log', problem, position: String(position), field, message }
  }
  const { rows } = await pool.query<{ claims: string }>('select count(*)::text as claims from es.claim')
  const { events, head, hash, seals: count } = found
  const claims = rows[0]?.claims ?? '0'
  report.log = { events: String(events), head: String(head), hash, claims, seals: count, anchored: count > 0 }
  return undefined
}

const listOf = (value: unknown, field: string): string[] => {
  if (value === undefined) return []
  if (Array.isArray(value) && value.every((each): each is string => typeof each === 'string')) return value
  throw new DomainError('BadRequest', `${field} must be a list of texts`)
}

/** Names the one that is wrong, which is not repeated: it may be a secret. */
const refusal = (pointer: string, message: string) =>
  new DomainError('Invalid', `${pointer}: ${message}`, { errors: [{ pointer, code: 'format', message }] })

const keyOf = (pem: string, index: number): KeyObject => {
  try {
    const key = createPublicKey(pem)
    if (key.asymmetricKeyType === 'ed25519' && !pem.includes('PRIVATE')) return key
  } catch {
    // Said below.
  }
  throw refusal(`/keys/${index}`, 'must be a public Ed25519 key in PEM')
}

const sealOf = (line: string, index: number) => {
  try {
    return parseSeal(line)
  } catch {
    throw refusal(`/seals/${index}`, 'must be the line of a seal, as it was written')
  }
}

/** What the body asks the log to be held against. Throws BadRequest or Invalid. */
export const trustedSeals = (body: unknown): TrustedSeals | undefined => {
  const { seals, keys, ...others } = Object(body ?? {}) as Record<string, unknown>
  if ((body !== undefined && typeof body !== 'object') || Array.isArray(body) || Object.keys(others).length > 0)
    throw new DomainError('BadRequest', 'the body is an object with "seals" and "keys" and nothing else')
  const trusted = { keys: listOf(keys, 'keys').map(keyOf), kept: listOf(seals, 'seals').map(sealOf) }
  if (trusted.keys.length > 0) return trusted
  if (trusted.kept.length > 0) throw new DomainError('Invalid', 'seals prove nothing without the keys that signed them')
  return undefined
}
