import { createPublicKey, type KeyObject } from 'node:crypto'
import { DomainError } from '@mcpctl/contracts'
import {
  parseSeal,
  verifyLog,
  verifyModel,
  type Difference,
  type Problem,
  type RebuildableModel,
  type TrustedSeals,
} from '@mcpctl/event-store'
import type { Pool } from 'pg'

/** How far a check has come. */
export interface Progress {
  /** `log`, or the name of a read model. */
  subject: string
  position: string
  to: string
}

/** The first thing that is wrong. */
export type Finding =
  | { in: 'log'; problem: Problem; position: string; field: string; message: string }
  | ({ in: 'model'; model: string; comparedAt: string } & Difference)

/** What a check of everything has found. What comes after the first finding was not looked at. */
export interface Report {
  ok: boolean
  finding?: Finding
  log?: {
    events: string
    /** The last position and the chain's hash there. */
    head: string
    hash: string
    /** Names that are held, all as the events say. */
    claims: string
    /** Seals that the log was held against. */
    seals: number
    /** Whether anything outside of the database vouches for the log. */
    anchored: boolean
  }
  /** Read models that are equal to a fold from scratch, as of a position. */
  models: { name: string; position: string }[]
}

export interface Checks {
  pool: Pool
  models: readonly RebuildableModel[]
  seals: TrustedSeals | undefined
  onProgress: (progress: Progress) => void
  /** Ends the checks; they throw its reason. */
  signal: AbortSignal
}

/** Checks the log, its claims and every read model against the log, in this order, up to the first fault. Throws Unavailable when the database goes away. */
export const verifyStore = async (checks: Checks): Promise<Report> => {
  const { pool, models, onProgress, signal } = checks
  const report: Report = { ok: true, models: [] }
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
  report: Report,
): Promise<Finding | undefined> => {
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

const keyOf = (pem: string): KeyObject => {
  try {
    const key = createPublicKey(pem)
    if (key.asymmetricKeyType === 'ed25519' && !pem.includes('PRIVATE')) return key
  } catch {
    // Whatever it was, it is not repeated.
  }
  throw new DomainError('Invalid', 'a seal is checked with a public Ed25519 key in PEM; one of the keys is none')
}

/** What the body asks the log to be held against. Throws BadRequest or Invalid. */
export const trustedSeals = (body: unknown): TrustedSeals | undefined => {
  const { seals, keys, ...others } = Object(body ?? {}) as Record<string, unknown>
  if ((body !== undefined && typeof body !== 'object') || Array.isArray(body) || Object.keys(others).length > 0)
    throw new DomainError('BadRequest', 'the body is an object with "seals" and "keys" and nothing else')
  const trusted = { keys: listOf(keys, 'keys').map(keyOf), kept: listOf(seals, 'seals').map(parseSeal) }
  if (trusted.keys.length > 0) return trusted
  if (trusted.kept.length > 0) throw new DomainError('Invalid', 'seals prove nothing without the keys that signed them')
  return undefined
}
