import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req } from '@nestjs/common'
import {
  mintToken,
  parseOperation,
  parseRole,
  Tokens,
  tokenPrefix,
  type Ask,
  type Entry,
  type TokenRecord,
  type UserFact,
} from '@mcpctl/access'
import { ApiBody, ApiDefaultResponse, ApiOperation, ApiResponse } from '@nestjs/swagger'
import { credentialProblem, DomainError, looksLikeCredential, notFound, uidPattern } from '@mcpctl/contracts'
import { UserModule } from '@mcpctl/kinds/user/user.module'
import { v7 as uuidv7 } from 'uuid'
import { Authorize } from '@mcpctl/resource'
import { refusals } from '../admin/admin.openapi'
import type { AuthenticatedRequest } from '../http/guards'
import { STORE, type Store } from '../store/store'
import { durationOf, fieldsOf, maybeText, refuseDryRun, wrong } from './body'
import { callerOf, demand, refuseImpersonation, requirePerson, rightsNow, type Caller } from './caller'
import { CredentialChanges } from './credential-changes'
import { shapes } from './identity.openapi'
import { destroy } from './revoking'

const DAY_MS = 86_400_000
const DEFAULT_TTL_MS = 30 * DAY_MS
const LONGEST_TTL_MS = 365 * DAY_MS
const SHORTEST_TTL_MS = 60_000
const LONGEST_NOTE = 256
const MOST_SCOPES = 64

/** Said once, to whoever asked for it. */
interface IssuedToken {
  id: string
  token: string
  user: string
  prefix: string
  type: 'pat' | 'svc'
  /** RFC 3339. */
  expiresAt: string
  scopes?: Entry[]
  note?: string
}

/** API tokens and sessions: one's own, and those of others with the rights for it. */
@Authorize('inside')
@Controller('api/v1/tokens')
@ApiDefaultResponse(refusals)
export class TokensController {
  constructor(
    @Inject(STORE) private readonly store: Store,
    private readonly changes: CredentialChanges,
    private readonly tokens: Tokens,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'listTokens', summary: "Tokens and sessions, one's own unless told" })
  @ApiResponse(shapes.listTokens.answer)
  async list(
    @Req() request: AuthenticatedRequest,
    @Query('user') name: unknown,
  ): Promise<{ items: (TokenRecord & { current: boolean })[] }> {
    const caller = callerOf(request)
    refuseImpersonation(caller, 'looking at tokens')
    const { identity, rights } = caller
    if (name !== undefined && typeof name !== 'string') throw new DomainError('BadRequest', 'user may be given once')
    const whose = name ?? identity.name
    if (whose !== identity.name && !rights.allows(manage(whose)))
      demand(caller, rights, { role: 'view', kind: 'users', name: whose })
    const user = await this.user(whose)
    const items = await this.tokens.list(user.uid)
    return { items: items.map((item) => ({ ...item, current: item.id === caller.identity.tokenId })) }
  }

  @Post()
  @HttpCode(201)
  @ApiOperation({ operationId: 'issueToken', summary: 'Issue an API token' })
  @ApiBody(shapes.issueToken.body)
  @ApiResponse(shapes.issueToken.answer)
  async issue(@Req() request: AuthenticatedRequest, @Body() body: unknown): Promise<IssuedToken> {
    const caller = callerOf(request)
    requirePerson(caller, 'issuing a token')
    const wish = wishOf(body)
    const { identity, asked, rights } = caller
    const name = wish.user ?? identity.name
    const isOther = name !== identity.name
    if (isOther) demand(caller, rights, manage(name))
    refuseDryRun(caller.asked)
    const { uid, type: userType } = await this.user(name)
    const type: 'svc' | 'pat' = userType === 'service' ? 'svc' : 'pat'
    const token = mintToken(type)
    const expiresAt = new Date(Date.now() + wish.ttlMs)
    const issued = {
      id: uuidv7(),
      prefix: tokenPrefix(token),
      type,
      expiresAt: expiresAt.toISOString(),
      ...(wish.scopes && { scopes: wish.scopes }),
      ...(wish.note !== undefined && { note: wish.note }),
    } as const
    await this.changes.run(asked, async ({ unit, facts, position }) => {
      if (isOther) demand(caller, rightsNow(caller, facts), manage(name))
      await unit.decide(UserModule.decider, `user-${uid}`, { type: 'IssueToken', token: issued })
      const { id: tokenId, scopes, note } = issued
      const more = { ...(scopes && { scopes }), ...(note !== undefined && { note }) }
      const grant = { uid, name, tokenId, tokenType: type, expiresAt, seenPosition: position, ...more }
      return { rows: (transaction) => Tokens.store(transaction, token, grant), result: undefined }
    })
    return { ...issued, token, user: name }
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiOperation({ operationId: 'revokeToken', summary: 'End a token or a session' })
  @ApiResponse({ status: 204, description: 'It is refused from now on.' })
  async revoke(@Req() request: AuthenticatedRequest, @Param('id') id: string): Promise<void> {
    const caller = callerOf(request)
    const { identity, asked } = caller
    // A token may always end itself.
    if (id !== identity.tokenId || asked.meta.impersonator) requirePerson(caller, 'revoking a token')
    const owner = await this.revocable(caller, id)
    refuseDryRun(caller.asked)
    await this.changes.run(asked, (situation) => {
      if (owner.uid !== identity.uid) demand(caller, rightsNow(caller, situation.facts), manage(owner.name))
      return destroy(situation, { ids: [id], owner, meta: asked.meta })
    })
    this.tokens.forget(id)
  }

  /** Whose token it is, when the caller may revoke it. Throws NotFound where it is nobody's business whether there is one; Forbidden. */
  private async revocable(caller: Caller, id: string): Promise<{ uid: string; name: string }> {
    const owner = uidPattern.test(id) ? await this.tokens.ownerOf(id) : undefined
    if (!owner) throw notFound('tokens', id)
    if (owner.uid === caller.identity.uid) return owner
    if (
      !caller.rights.allows({ role: 'view', kind: 'users', name: owner.name }) &&
      !caller.rights.allows(manage(owner.name))
    )
      throw notFound('tokens', id)
    demand(caller, caller.rights, manage(owner.name))
    return owner
  }

  private async user(name: string): Promise<UserFact> {
    const { directory } = this.store
    directory.invalidate()
    const { facts } = await directory.current()
    const user = facts.user(facts.uidOf('User', name) ?? '')
    if (!user) throw notFound('users', name)
    return user
  }
}

const manage = (name: string): Ask => ({ action: 'tokens', kind: 'users', name })

const wishOf = (body: unknown): { user: string | undefined; ttlMs: number; scopes?: Entry[]; note?: string } => {
  const fields = fieldsOf(body, ['user', 'ttl', 'scopes', 'note'])
  const note = maybeText(fields, 'note')
  if (note !== undefined && (note.length > LONGEST_NOTE || /\p{Cc}/u.test(note)))
    throw wrong('note', `must be at most ${String(LONGEST_NOTE)} characters on one line`)
  if (note !== undefined && looksLikeCredential(note)) throw wrong('note', credentialProblem)
  const scopes = scopesOf(fields['scopes'])
  return {
    user: maybeText(fields, 'user'),
    ttlMs: ttlOf(maybeText(fields, 'ttl')),
    ...(scopes && { scopes }),
    ...(note !== undefined && { note }),
  }
}

const ttlOf = (text: string | undefined): number => {
  if (text === undefined) return DEFAULT_TTL_MS
  const ttlMs = durationOf(text)
  if (ttlMs === undefined)
    throw wrong('ttl', `must be a duration like 12h or 30d, not ${JSON.stringify(text.slice(0, 32))}`)
  if (ttlMs >= SHORTEST_TTL_MS && ttlMs <= LONGEST_TTL_MS) return ttlMs
  throw wrong('ttl', 'must be from one minute (1m) to one year (365d)')
}

const scopesOf = (value: unknown): Entry[] | undefined => {
  if (value === undefined) return undefined
  if (!Array.isArray(value) || value.length === 0 || value.length > MOST_SCOPES)
    throw wrong(
      'scopes',
      `must be a list of 1 to ${String(MOST_SCOPES)} texts like view:servers or op:logs; leave it out for no scope`,
    )
  return value.map((text, index) => {
    if (typeof text !== 'string') throw wrong(`scopes/${String(index)}`, 'must be a text')
    try {
      return /^op[ :]/.test(text) ? parseOperation(text.slice(3)) : parseRole(text)
    } catch (error) {
      throw error instanceof DomainError ? wrong(`scopes/${String(index)}`, `is no scope: ${error.message}`) : error
    }
  })
}
