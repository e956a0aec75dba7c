import { Body, Controller, Get, HttpCode, Inject, Post, Query, Req } from '@nestjs/common'
import { explain, entryFor, Rights, whoCan, type AccessFacts, type Ask, type UserFact } from '@mcpctl/access'
import {
  DomainError,
  notFound,
  type CanIAnswer,
  type DenialRecord,
  type EffectiveAccess,
  type WhoCanAnswer,
} from '@mcpctl/contracts'
import { ApiBody, ApiDefaultResponse, ApiOperation, ApiQuery, ApiResponse } from '@nestjs/swagger'
import { Objects } from '@mcpctl/read-model'
import { Authorize } from '@mcpctl/resource'
import { answers, refusals } from '../admin/admin.openapi'
import type { AuthenticatedRequest } from '../http/guards'
import { STORE, type Store } from '../store/store'
import { askerOf, refuseUnless, type Asker } from './asker'
import { named, questionBody } from './authz.openapi'
import { denialsOf } from './denials'
import { positionAt } from './moment'
import { askOf, questionOf } from './question'
import { accessOfGroup, accessOfRbac, accessOfUser, entryRecord, grantRecord } from './records'

interface Whose {
  user?: unknown
  group?: unknown
  rbac?: unknown
}

/** Who may do what, and why: answered from the same rights that the door decides by. */
@Controller('api/v1/authz')
@Authorize('inside')
@ApiDefaultResponse(refusals)
export class AuthzController {
  constructor(
    @Inject(STORE) private readonly store: Store,
    private readonly objects: Objects,
  ) {}

  @Post('can-i')
  @HttpCode(200)
  @ApiOperation({ operationId: 'canI', summary: 'Whether somebody may do something, and why' })
  @ApiBody(questionBody)
  @ApiResponse({ status: 200, ...answers('CanIAnswer', 'Yes or no, with the grants behind it.') })
  async canI(@Body() body: unknown, @Req() request: AuthenticatedRequest): Promise<CanIAnswer> {
    const question = questionOf(body)
    const asker = askerOf(request)
    const wanted = askOf(question, this.kinds())
    const user = question.user ?? asker.name
    const isOwn = user === asker.name
    if (!isOwn) refuseStrangers(asker, user)
    const ask = await this.placed(wanted, asker, isOwn)
    const facts = await this.factsAt(question.at)
    const uid = isOwn ? asker.uid : facts.uidOf('User', user)
    const found = uid === undefined ? undefined : facts.user(uid)
    if (!found && question.at === undefined) throw notFound('users', user)
    if (!found) return { ...nothing(ask, user), note: `there was no user ${user} then` }
    const isNow = isOwn && question.at === undefined
    return answer(facts, { user: found, ask, ...(isNow && { decidedBy: asker.rights }) })
  }

  @Post('who-can')
  @HttpCode(200)
  @ApiOperation({ operationId: 'whoCan', summary: 'Everybody who may do something, and why' })
  @ApiBody(questionBody)
  @ApiResponse({ status: 200, ...answers('WhoCanAnswer', 'By name.') })
  async whoCan(@Body() body: unknown, @Req() request: AuthenticatedRequest): Promise<WhoCanAnswer> {
    const question = questionOf(body)
    if (question.user !== undefined) throw new DomainError('BadRequest', 'who-can takes no user; ask can-i')
    const asker = askerOf(request)
    refuseUnless(asker, { role: 'view', kind: 'users' })
    refuseUnless(asker, { role: 'view', kind: 'rbac' })
    const ask = await this.placed(askOf(question, this.kinds()), asker)
    const found = whoCan(await this.factsAt(question.at), ask)
    return {
      asked: entryRecord(entryFor(ask)),
      users: found.map(({ user, grants }) => ({ user: user.name, paths: grants.map(grantRecord) })),
    }
  }

  @Get('effective')
  @ApiOperation({
    operationId: 'effectiveAccess',
    summary: "What a user holds, a group gives or a binding grants; without a name one's own",
  })
  @ApiQuery(named('user', 'Name of a user.'))
  @ApiQuery(named('group', 'Name of a group.'))
  @ApiQuery(named('rbac', 'Name of a binding.'))
  @ApiResponse({ status: 200, ...answers('EffectiveAccess', 'With the origin of each grant.') })
  async effective(@Query() query: Whose, @Req() request: AuthenticatedRequest): Promise<EffectiveAccess> {
    const asker = askerOf(request)
    const [kind, name] = whose(query) ?? ['user', asker.name]
    const isOwn = kind === 'user' && name === asker.name
    if (!isOwn) refuseToShow(asker, kind, name)
    const { facts } = await this.store.directory.current()
    const access = isOwn ? ofUser(facts, asker.uid, name) : readers[kind](facts, name)
    return isOwn && asker.scopes ? { ...access, scopes: [...asker.scopes] } : access
  }

  @Get('denials')
  @ApiOperation({ operationId: 'listDenials', summary: "The latest refusals of a user; without a name one's own" })
  @ApiQuery(named('user', 'Name of a user.'))
  @ApiResponse({ status: 200, ...answers('DenialList', 'The newest first.') })
  async denials(
    @Query('user') user: unknown,
    @Req() request: AuthenticatedRequest,
  ): Promise<{ denials: DenialRecord[] }> {
    const asker = askerOf(request)
    const name = whose({ user })?.[1] ?? asker.name
    if (name === asker.name) return { denials: await denialsOf(this.store.log, asker.uid) }
    // What somebody tried to reach may be names of things that the reader must not know of.
    refuseUnless(asker, { action: 'audit' })
    refuseUnless(asker, { role: 'view', kind: 'users', name })
    const { facts } = await this.store.directory.current()
    const uid = facts.uidOf('User', name)
    if (uid === undefined) throw notFound('users', name)
    return { denials: await denialsOf(this.store.log, uid) }
  }

  private kinds() {
    return this.store.resources.all().map(({ kind }) => kind)
  }

  /**
   * The question about an instance with the server that it belongs to, whose rights hold for it too. Whoever may neither see it nor do what he
   * asks about learns nothing of it, its existence included.
   */
  private async placed(ask: Ask, { rights }: Asker, isOwn = false): Promise<Ask> {
    if (ask.kind !== 'instances' || ask.name === undefined) return ask
    const owner = (await this.objects.find('Instance', ask.name))?.spec['server']
    if (typeof owner !== 'string') return ask
    const placed = { ...ask, owner }
    const isSeen = rights.allows({ role: 'view', kind: 'instances', name: ask.name, owner })
    return isSeen || (isOwn && rights.allows(placed)) ? placed : ask
  }

  private async factsAt(at: string | undefined): Promise<AccessFacts> {
    const { directory, log } = this.store
    if (at === undefined) return (await directory.current()).facts
    return directory.at(await positionAt(log, at))
  }
}

const refuseStrangers = (asker: Asker, name: string): void => {
  refuseUnless(asker, { role: 'view', kind: 'users', name })
  refuseUnless(asker, { role: 'view', kind: 'rbac' })
}

const refuseToShow = (asker: Asker, kind: 'user' | 'group' | 'rbac', name: string): void => {
  if (kind === 'rbac') return refuseUnless(asker, { role: 'view', kind: 'rbac', name })
  refuseUnless(asker, { role: 'view', kind: `${kind}s`, name })
  refuseUnless(asker, { role: 'view', kind: 'rbac' })
}

const whose = (query: Whose): ['user' | 'group' | 'rbac', string] | undefined => {
  const given = (['user', 'group', 'rbac'] as const).filter((kind) => query[kind] !== undefined)
  const [kind] = given
  if (kind === undefined) return undefined
  const name = query[kind]
  if (given.length > 1 || typeof name !== 'string' || name === '')
    throw new DomainError('BadRequest', 'name one user, one group or one rbac')
  return [kind, name]
}

const ofUser = (facts: AccessFacts, uid: string | undefined, name: string): EffectiveAccess => {
  const user = uid === undefined ? undefined : facts.user(uid)
  if (!user) throw notFound('users', name)
  return accessOfUser(facts, user)
}

const readers = {
  user: (facts: AccessFacts, name: string) => ofUser(facts, facts.uidOf('User', name), name),
  group: (facts: AccessFacts, name: string) => {
    const group = facts.group(facts.uidOf('Group', name) ?? '')
    if (!group) throw notFound('groups', name)
    return accessOfGroup(facts, group)
  },
  rbac: (facts: AccessFacts, name: string) => {
    const rbac = facts.rbac(facts.uidOf('Rbac', name) ?? '')
    if (!rbac) throw notFound('rbac', name)
    return accessOfRbac(facts, rbac)
  },
}

const nothing = (ask: Ask, user: string): CanIAnswer => ({
  allowed: false,
  user,
  asked: entryRecord(entryFor(ask)),
  paths: [],
  nearest: [],
})

const IMPERSONATED = 'a group that is impersonated besides allows it'

interface Decided {
  user: UserFact
  ask: Ask
  /** What decides at the door, where that is not all that the user holds. */
  decidedBy?: Rights
}

const answer = (facts: AccessFacts, { user, ask, decidedBy }: Decided): CanIAnswer => {
  const { allowed: holds, paths, nearest, remedy } = explain(facts, user, ask)
  const base = nothing(ask, user.name)
  const allowed = decidedBy ? decidedBy.allows(ask) : holds
  if (allowed) return { ...base, allowed, paths: paths.map(grantRecord), ...(!holds && { note: IMPERSONATED }) }
  if (holds)
    return { ...base, nearest: paths.map(grantRecord), note: 'the token is narrowed and does not reach so far' }
  return {
    ...base,
    nearest: nearest.map(grantRecord),
    ...(remedy !== undefined && { remedy }),
    ...(!user.enabled && { note: `user ${user.name} is disabled` }),
  }
}
