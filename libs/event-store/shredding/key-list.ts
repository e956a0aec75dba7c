import { createHmac, hkdfSync, timingSafeEqual, type KeyObject } from 'node:crypto'
import { DomainError } from '@mcpctl/contracts'
import canonicalize from 'canonicalize'

/** A key as it travels in a backup, or the news that its subject is forgotten. */
export type ExportedKey = { subject: string } & ({ key: string; wrapped: string } | { forgottenAt: string })

/** Keys and tombstones as they travel, as one: nothing in it can be changed, taken out, put in or mixed with another list unnoticed. */
export interface ExportedKeys {
  format: typeof keyListFormat
  /** RFC 3339, UTC. An older list is as genuine as a newer one: which one is the latest, only who keeps them can tell. */
  exportedAt: string
  /** By name of the subject. */
  keys: ExportedKey[]
  /** HMAC-SHA-256 over the RFC 8785 form of all of the above, under a key that is derived from the transport key, base64. */
  mac: string
}

const keyListFormat = 'subject-keys/1'

/** Puts the list under its MAC. */
export const authenticated = (transport: KeyObject, exportedAt: string, keys: ExportedKey[]): ExportedKeys => {
  const list = { format: keyListFormat, exportedAt, keys } as const
  return { ...list, mac: macOf(transport, list).toString('base64') }
}

/** What is in the list. Throws `Invalid` unless it was made with this transport key and is as it was made. */
export const verified = (transport: KeyObject, exported: ExportedKeys): ExportedKey[] => {
  const { mac, ...list }: { [field in keyof ExportedKeys]: unknown } = exported
  if (list.format !== keyListFormat || typeof mac !== 'string')
    throw new DomainError('Invalid', 'this is not a list of exported keys; give what exportKeys has made')
  const [given, expected] = [Buffer.from(mac, 'base64'), macOf(transport, list)]
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    throw new DomainError(
      'Invalid',
      'the list of exported keys was altered, or made with another transport key; take it from its source again, and that key',
    )
  return exported.keys
}

const macOf = (transport: KeyObject, list: object): Buffer => {
  const macKey = Buffer.from(hkdfSync('sha256', transport, '', 'mcpctl/v1|exported-keys', 32))
  return createHmac('sha256', macKey)
    .update(canonicalize(list) as string)
    .digest()
}
