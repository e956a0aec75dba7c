import type { ErrorCode, FieldError } from './errors'

/** An error as it crosses the wire: RFC 9457 problem details with the reason, the object and the fields concerned. */
export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  /** `urn:request:<id>`, to be found again in the daemon's log. */
  instance: string
  reason: ErrorCode
  kind?: string
  name?: string
  errors?: FieldError[]
  /** Seconds. */
  retryAfter?: number
  /** Position of the committed write; only with reason `CommittedNotVisible`. */
  position?: string
}
