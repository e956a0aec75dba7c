import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** No 0, 1, O, I: people copy these by hand. */
const ALPHABET = '23456789ABCDEFGHJKLMNPQRSTUVWXYZ'
const GROUPS = 5
const GROUP = 4

/** How long a setup code is good for. */
export const codeLifeMs = 15 * 60_000

/** A new one-time code of 100 random bits, `K7QF-…`, by which somebody sets a first or a new password. */
export const mintCode = (): string => {
  const signs = [...randomBytes(GROUPS * GROUP)].map((byte) => ALPHABET[byte % ALPHABET.length] ?? '')
  return Array.from({ length: GROUPS }, (_, n) => signs.slice(n * GROUP, (n + 1) * GROUP).join('')).join('-')
}

/** What is stored of a code: it holds enough random bits for a plain hash. Case, spaces and dashes do not count. */
export const hashCode = (code: string): Buffer =>
  createHash('sha256').update(code.toUpperCase().replaceAll(/[\s-]/g, '')).digest()

/** In constant time. */
export const isCode = (code: string, stored: Buffer): boolean => timingSafeEqual(hashCode(code), stored)
