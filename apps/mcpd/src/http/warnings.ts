import type { FieldError } from '@mcpctl/contracts'
import type { FastifyReply } from 'fastify'

/** A header has little room, and nobody reads more. */
const MOST = 20

/** Says in the answer what was accepted and might not have been meant: one `Warning` header for each field (RFC 7234, code 299). */
export const warn = (reply: FastifyReply, warnings: readonly FieldError[]): void => {
  const words = warnings.slice(0, MOST).map(({ pointer, message }) => `${pointer}: ${message}`)
  if (words.length > 0) void reply.header('warning', words.map(quoted))
}

/** Headers carry printable ASCII. */
const quoted = (text: string): string => `299 mcpd "${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, "'")}"`
