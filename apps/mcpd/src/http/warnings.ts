import type { FieldError } from '@mcpctl/contracts'
import type { FastifyReply } from 'fastify'

/** Nobody reads more. */
const MOST = 20
/** A header has little room: Node's clients refuse 16 KiB of all of them. Bytes. */
const MOST_BYTES = 8_192

/** Says in the answer what was accepted and might not have been meant: one `Warning` header for each (RFC 7234, code 299). */
export const warn = (reply: FastifyReply, fields: readonly FieldError[], texts: readonly string[] = []): void => {
  const words = [...texts, ...fields.map(({ pointer, message }) => `${pointer}: ${message}`)]
  const told = within(words.map(quoted))
  const others = words.length - told.length
  const more = others > 0 ? [quoted(`there is more to be warned of: ${String(others)}`)] : []
  if (words.length > 0) void reply.header('warning', [...told, ...more])
}

const within = (quoted: readonly string[]): string[] => {
  let bytes = 0
  return quoted.filter((text, index) => (bytes += text.length) <= MOST_BYTES && index < MOST)
}

/** Headers carry printable ASCII. */
const quoted = (text: string): string => `299 mcpd "${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, "'")}"`
