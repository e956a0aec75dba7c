// Positions travel as text: a JSON number would lose digits beyond 2^53.

/** An event that a processor could not apply, and the first of its stream that waits. */
export interface ParkedEvent {
  processor: string
  position: string
  streamId: string
  type: string
  /** What was thrown at it the last time. */
  error: string
  /** RFC 3339: when it was parked. */
  since: string
  /** Later events of its stream that wait for it. */
  behind: number
}

/** What a retry or a skip of a parked event has led to. */
export type Settled = {
  /** Events that are part of the model now. */
  applied: number
  /** The event that is parked still. */
  stoppedAt?: { position: string; type: string; error: string }
}

/** The version of a model that is being built. */
export interface RebuildStatus {
  version: number
  state: 'building' | 'indexing' | 'swapping' | 'failed'
  position: string
  /** How fast its builder loads it, from the beginning on. */
  eventsPerSecond?: number
  lastError?: string
}

export interface ModelStatus {
  name: string
  /** The version that readers see. */
  version: number
  /** Identity of the code that has folded it. */
  fold: string
  position: string
  /** Position of the last event of the log. */
  head: string
  status: string
  lastError?: string
  /** How fast its builder loaded it; absent for a version that was never rebuilt. */
  eventsPerSecond?: number
  rebuild?: RebuildStatus
}

/** The answer to whoever asks for a rebuild. */
export interface RebuildAnswer {
  name: string
  /** The version that is being built now. */
  version: number
}

/** A key-encryption key, by its name. */
export interface KeyEncryptionKey {
  id: string
  /** RFC 3339. */
  createdAt: string
  /** The daemon that was asked holds it. */
  present: boolean
  /** New data keys are wrapped with it. */
  current: boolean
  /** Data keys that it wraps. */
  dataKeys: number
}

/** How the daemon that was asked wraps data keys anew, or has done since it was started. */
export interface RewrapStatus {
  running: boolean
  /** Data keys that it has wrapped anew. */
  done: number
  /** Those that it could not. */
  failed: number
  /** The first of those: uid of the secret and version. */
  failing: string[]
  /** What stood in its way the last time; it goes on trying. */
  lastError?: string
}

/** Whether secrets can be opened, and with what. */
export interface KeysStatus {
  state: 'ready' | 'KekMissing' | 'KekWrong'
  /** Why it is not ready, and what to do. */
  message?: string
  /** Where the key-encryption keys are kept. */
  place: string
  /** The last one is current. */
  keks: KeyEncryptionKey[]
  /** Data keys that are not under the current one yet. */
  stale: number
  rewrap?: RewrapStatus
}

export type RotateAnswer = {
  from: string
  /** Absent when it was a dry run. */
  to?: string
  /** Data keys to wrap anew. */
  stale: number
}

export type RewrapAnswer = {
  /** Data keys to wrap anew. */
  stale: number
}

export type RetireAnswer = {
  /** Ids of key-encryption keys that are kept no more. */
  retired: string[]
}

/** How far a verification has come. */
export interface VerifyProgress {
  /** `log`, or the name of a read model. */
  subject: string
  position: string
  to: string
}

/** The first thing that is wrong with the log, and where. */
export interface LogFinding {
  in: 'log'
  problem: string
  position: string
  field: string
  message: string
}

/** The first place where a read model is not what the log says. */
export interface ModelFinding {
  in: 'model'
  model: string
  /** Model and log were compared as of here. */
  comparedAt: string
  /** What differs, for example the kind, name and uid of an object. */
  subject: Record<string, string>
  /** Where the version that differs begins. */
  position?: string
  /** The field that differs; absent when a whole row is missing or too much. */
  path?: string
  stored?: unknown
  expected?: unknown
}

/** What a verification has found. What comes after the first finding was not looked at. */
export interface VerifyReport {
  ok: boolean
  finding?: LogFinding | ModelFinding
  log?: {
    events: string
    /** The last position that was checked, and the chain's hash there. */
    head: string
    hash: string
    /** Names that are held, all as the events say. */
    claims: string
    /** Seals that the log was held against. */
    seals: number
    /** Whether anything outside of the database vouches for the log. */
    anchored: boolean
  }
  /** Read models that are equal to a fold from scratch, and the position as of which each was compared. */
  models: { name: string; position: string }[]
}
