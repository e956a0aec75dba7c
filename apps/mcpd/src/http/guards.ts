import { createHmac } from 'node:crypto'
import { credentialProblem, DomainError, looksLikeCredential, maskSecrets } from '@mcpctl/contracts'
import type { AccessFacts, Identity, Rights, Tokens } from '@mcpctl/access'
import type { Asked } from '@mcpctl/resource'
import type { FastifyRequest } from 'fastify'
import { v5 as uuidv5 } from 'uuid'
import type { Pending } from '../setup/pending'
import type { Subject } from './admission'

/** Requests as they are after the guards: authenticated, with what commands need to know of them. */
export type AuthenticatedRequest = FastifyRequest & {
  asked?: Asked
  /** Whose token it is. */
  identity?: Identity
  /** As whom the request acts. */
  subject?: Subject
  /** Who really asks, where he acts as somebody else. */
  impersonator?: Subject
  /** What the request may do. */
  rights?: Rights
  rightsIn?: (facts: AccessFacts) => Rights
}

/** Routes that answer without a token. */
const OPEN = new Set(['/healthz', '/readyz'])
/** Routes at which people show who they are. */
const DOORS = new Set(['/api/v1/login', '/api/v1/setup'])
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])
const MUTATING = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])
const KEY = /^[\x21-\x7e]{1,255}$/

const pathOf = (request: FastifyRequest) => request.url.split('?', 1)[0] ?? ''

export const isOpen = (request: FastifyRequest): boolean => OPEN.has(pathOf(request))

export const isDoor = (request: FastifyRequest): boolean => DOORS.has(pathOf(request)) && request.method === 'POST'

/** Until somebody has set a password with the code that the daemon has printed, nothing else is answered. Throws Unavailable. */
export const refuseUntilSetUp = async (request: FastifyRequest, pending: Pending): Promise<void> => {
  if (pathOf(request) === '/api/v1/setup' || !(await pending.isPending())) return
  const text =
    'this daemon waits to be set up, with the code that it has printed; run: mcpctl login URL --user NAME --setup'
  throw new DomainError('Unavailable', text, { retryAfter: 5 })
}

/** Refuses what a browser that was lured here would send: a foreign Host (DNS rebinding) or any foreign Origin. */
export const checkOrigin = (request: FastifyRequest, allowedHosts: readonly string[]): void => {
  const host = (request.headers.host ?? '').replace(/:\d{1,5}$/, '').toLowerCase()
  if (!LOOPBACK.has(host) && !allowedHosts.includes(host))
    throw new DomainError(
      'MisdirectedRequest',
      'this daemon does not answer for that host name; add it with --allowed-host',
    )
  const { origin } = request.headers
  if (origin === undefined) return
  const from = URL.canParse(origin) ? new URL(origin).hostname : ''
  const known = from === 'localhost' || from === '127.0.0.1' || from === '[::1]' || allowedHosts.includes(from)
  if (!known) throw new DomainError('Forbidden', 'requests from that origin are refused')
}

const bearer = (request: FastifyRequest): string | undefined => {
  // A query is logged by every proxy on the way: no token belongs there.
  if (/[?&]access_token=/.test(request.url))
    throw new DomainError('BadRequest', 'send the token as a header, never in the URL')
  const sent = request.raw.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'authorization')
  if (sent.length > 1) throw new DomainError('BadRequest', 'send one Authorization header')
  return /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
}

/** Finds out who asks. Throws Unauthorized. */
export const authenticate = async (request: AuthenticatedRequest, tokens: Tokens): Promise<void> => {
  const token = bearer(request)
  const identity = token === undefined ? undefined : await tokens.identify(token)
  if (!identity)
    throw new DomainError('Unauthorized', token === undefined ? 'a token is needed' : 'the token is not valid here')
  request.identity = identity
}

/** Under the client's key, which is not stored: a plain digest would let whoever has the database try values of secrets. */
const digest = ({ method, url, headers, body }: FastifyRequest, key: string): string =>
  createHmac('sha256', key)
    .update(
      JSON.stringify([
        method,
        url,
        headers['if-match'] ?? null,
        headers['if-none-match'] ?? null,
        body ?? null,
        ...(headers['impersonate-user'] ? [headers['impersonate-user'], headers['impersonate-group'] ?? null] : []),
      ]),
    )
    .digest('hex')

const commandOf = (request: FastifyRequest, identity: Identity): Asked['command'] => {
  const key = request.headers['idempotency-key']
  if (key === undefined || !MUTATING.has(request.method)) return undefined
  if (typeof key !== 'string' || !KEY.test(key))
    throw new DomainError('BadRequest', 'Idempotency-Key must be 1 to 255 printable characters')
  return { id: uuidv5(key, identity.uid), requestHash: digest(request, key) }
}

/** The program that asks, as it is kept: short, and without what looks like a secret. */
export const userAgentOf = ({ headers }: FastifyRequest): string | undefined =>
  headers['user-agent'] === undefined ? undefined : maskSecrets(headers['user-agent']).slice(0, 256)

const LONGEST_REASON = 1024

/** Why somebody does this. Headers carry ASCII, so other text comes percent-encoded, in UTF-8. */
const reasonOf = ({ headers }: FastifyRequest, allowCredentialLike: boolean): string | undefined => {
  const sent = headers['x-mcpctl-reason']
  if (typeof sent !== 'string') return undefined
  const reason = decoded(sent)
  if (!allowCredentialLike && looksLikeCredential(reason))
    throw new DomainError('Invalid', `the reason ${credentialProblem}`)
  if (reason.length > 0 && reason.length <= LONGEST_REASON && !/\p{Cc}/u.test(reason)) return reason
  throw new DomainError(
    'BadRequest',
    `X-Mcpctl-Reason must be 1 to ${LONGEST_REASON} characters without control characters`,
  )
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    // Somebody wrote "100 % sure" by hand.
    return text
  }
}

const metaOf = (request: AuthenticatedRequest, actor: Subject, reason: string | undefined): Asked['meta'] => {
  const { impersonator } = request
  const userAgent = userAgentOf(request)
  return {
    actor,
    ...(impersonator && { impersonator }),
    correlationId: request.id,
    sourceAddress: request.ip,
    ...(userAgent !== undefined && { userAgent }),
    ...(reason !== undefined && { reason }),
  }
}

const wishesOf = ({ query }: FastifyRequest): Pick<Asked, 'dryRun' | 'allowCredentialLike'> => {
  const { dryRun, allowCredentialLike } = query as { dryRun?: string; allowCredentialLike?: string }
  if (dryRun !== undefined && dryRun !== 'All') throw new DomainError('BadRequest', 'dryRun must be All')
  if (allowCredentialLike !== undefined && allowCredentialLike !== 'true')
    throw new DomainError('BadRequest', 'allowCredentialLike must be true, or be left out')
  return { ...(dryRun && { dryRun: true }), ...(allowCredentialLike && { allowCredentialLike: true }) }
}

/** What a command needs to know of its request. Throws BadRequest for a malformed idempotency key or reason. */
export const ask = (request: AuthenticatedRequest): void => {
  const { identity, subject, rights, rightsIn } = request
  if (!identity || !subject || !rights || !rightsIn) return
  const command = commandOf(request, identity)
  const wishes = wishesOf(request)
  const meta = metaOf(request, subject, reasonOf(request, wishes.allowCredentialLike === true))
  request.asked = { meta, rights, rightsIn, ...(command && { command }), ...wishes }
}
