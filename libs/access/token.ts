import { createHash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** 256 bits in base62. */
const SECRET_LENGTH = 43
const CHECK_LENGTH = 6
const FORM = /^mcp_(?:pat|ses|svc)_[0-9A-Za-z]{49}$/
const SHOWN_LENGTH = 12

/** Personal access token, session, service user. */
export type TokenType = 'pat' | 'ses' | 'svc'

const base62 = (value: bigint, length: number): string => {
  let text = ''
  for (let rest = value; text.length < length; rest /= 62n) text = (ALPHABET[Number(rest % 62n)] ?? '') + text
  return text
}

const checksum = (text: string): string => base62(BigInt(crc32(text)), CHECK_LENGTH)

/** A new token: `mcp_<type>_`, 256 random bits in base62, and a CRC-32 of all that, so that scanners find it and typing errors show. */
export const mintToken = (type: TokenType): string => {
  const body = `mcp_${type}_${base62(BigInt(`0x${randomBytes(32).toString('hex')}`), SECRET_LENGTH)}`
  return body + checksum(body)
}

/** Whether a text has the form of a token, checksum included. Says nothing about its validity. */
export const isToken = (text: string): boolean =>
  FORM.test(text) && checksum(text.slice(0, -CHECK_LENGTH)) === text.slice(-CHECK_LENGTH)

/** What is stored of a token. A plain hash suffices: the token itself holds 256 random bits. */
export const hashToken = (token: string): Buffer => createHash('sha256').update(token).digest()

/** The part of a token that people may see to tell tokens apart. */
export const tokenPrefix = (token: string): string => token.slice(0, SHOWN_LENGTH)
