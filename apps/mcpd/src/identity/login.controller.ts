import { Body, Controller, Get, HttpCode, Inject, Post, Query, Req } from '@nestjs/common'
import { ApiBody, ApiDefaultResponse, ApiOperation, ApiResponse } from '@nestjs/swagger'
import type { FastifyRequest } from 'fastify'
import { Tokens } from '@mcpctl/access'
import { Authorize } from '@mcpctl/resource'
import { refusals } from '../admin/admin.openapi'
import { userAgentOf, type AuthenticatedRequest } from '../http/guards'
import { STORE, type Store } from '../store/store'
import { fieldsOf, nameOf, refuseDryRun, secretOf } from './body'
import { callerOf, requirePerson } from './caller'
import { CredentialChanges } from './credential-changes'
import { shapes } from './identity.openapi'
import { Logins, type Origin, type Session } from './logins'
import { destroy } from './revoking'

/** Coming in, going out, and who one is. */
@Authorize('authenticated')
@Controller('api/v1')
@ApiDefaultResponse(refusals)
export class LoginController {
  constructor(
    @Inject(STORE) private readonly store: Store,
    private readonly changes: CredentialChanges,
    private readonly tokens: Tokens,
    private readonly logins: Logins,
  ) {}

  @Authorize('open')
  @Post('login')
  @HttpCode(200)
  @ApiOperation({ operationId: 'login', summary: 'Open a session with a password' })
  @ApiBody(shapes.login.body)
  @ApiResponse(shapes.login.answer)
  login(@Body() body: unknown, @Req() request: FastifyRequest): Promise<Session> {
    const fields = fieldsOf(body, ['user', 'password'])
    return this.logins.login(nameOf(fields, 'user'), secretOf(fields, 'password'), originOf(request))
  }

  @Authorize('open')
  @Post('setup')
  @HttpCode(200)
  @ApiOperation({ operationId: 'setUp', summary: 'Set a password with a one-time code, and open a session' })
  @ApiBody(shapes.setUp.body)
  @ApiResponse(shapes.setUp.answer)
  setUp(@Body() body: unknown, @Req() request: FastifyRequest): Promise<Session> {
    const fields = fieldsOf(body, ['user', 'code', 'password'])
    const given = {
      name: nameOf(fields, 'user'),
      code: secretOf(fields, 'code'),
      password: secretOf(fields, 'password'),
    }
    return this.logins.setUp(given, originOf(request))
  }

  /** Ends the session that asks, or with `all` every session of its user. API tokens go on: they are revoked by name. */
  @Post('logout')
  @HttpCode(200)
  @ApiOperation({ operationId: 'logout', summary: 'End the session, or with all every session of its user' })
  @ApiResponse(shapes.logout.answer)
  async logout(
    @Req() request: AuthenticatedRequest,
    @Query('all') all: string | undefined,
  ): Promise<{ ended: number }> {
    const caller = callerOf(request)
    requirePerson(caller, 'logging out')
    refuseDryRun(caller.asked)
    const { identity, asked } = caller
    const mine = (await this.tokens.list(identity.uid)).filter(({ type }) => type === 'ses')
    const ended = mine.filter(({ id, local }) =>
      all === '1' || all === 'true' ? !local || id === identity.tokenId : id === identity.tokenId,
    )
    const ids = ended.map(({ id }) => id)
    const owner = { uid: identity.uid, name: identity.name }
    await this.changes.run(asked, (situation) => destroy(situation, { ids, owner, meta: asked.meta }))
    this.tokens.forget(...ids)
    return { ended: ids.length }
  }

  @Get('whoami')
  @ApiOperation({ operationId: 'whoAmI', summary: 'As whom the daemon takes whoever asks' })
  @ApiResponse(shapes.whoAmI.answer)
  async whoami(@Req() request: AuthenticatedRequest) {
    const { identity, asked } = callerOf(request)
    const { facts } = await this.store.directory.current()
    const { actor, impersonator } = asked.meta
    const subject = facts.user(actor.uid)
    const [token] = await this.tokens.list(identity.uid, identity.tokenId)
    return {
      user: { name: actor.name, uid: actor.uid, type: subject?.type ?? 'human' },
      groups: facts
        .groupsOfUser(actor.uid)
        .map(({ name }) => name)
        .sort(),
      ...(impersonator && { impersonator: { name: impersonator.name, uid: impersonator.uid } }),
      ...(token && { token }),
    }
  }
}

export const originOf = (request: FastifyRequest): Origin => {
  const userAgent = userAgentOf(request)
  return {
    address: request.ip,
    correlationId: request.id,
    sourceAddress: request.ip,
    ...(userAgent !== undefined && { userAgent }),
  }
}
