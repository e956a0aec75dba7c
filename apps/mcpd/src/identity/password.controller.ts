import { Body, Controller, HttpCode, Param, Post, Req } from '@nestjs/common'
import { codeLifeMs, mintCode, storeCode } from '@mcpctl/access'
import { ApiBody, ApiDefaultResponse, ApiOperation, ApiResponse } from '@nestjs/swagger'
import { DomainError, notFound } from '@mcpctl/contracts'
import { UserModule } from '@mcpctl/kinds/user/user.module'
import { v7 as uuidv7 } from 'uuid'
import { Authorize } from '@mcpctl/resource'
import { refusals } from '../admin/admin.openapi'
import type { AuthenticatedRequest } from '../http/guards'
import { fieldsOf, flagOf, maybeText, refuseDryRun, secretOf } from './body'
import { callerOf, demand, requirePerson, rightsNow, type Caller } from './caller'
import { CredentialChanges } from './credential-changes'
import { shapes } from './identity.openapi'
import { Logins } from './logins'

/** What an administrator hands to a user, who sets the password with it. */
interface ResetAnswer {
  user: string
  code: string
  /** RFC 3339. */
  expiresAt: string
}

/** One's own password, and one-time codes for those of others: nobody chooses somebody else's password. */
@Authorize('inside')
@Controller('api/v1/users')
@ApiDefaultResponse(refusals)
export class PasswordController {
  constructor(
    private readonly changes: CredentialChanges,
    private readonly logins: Logins,
  ) {}

  /** With a new password, one's own is set. Without, a code that is good once is issued. */
  @Post(':name/password')
  @HttpCode(200)
  @ApiOperation({ operationId: 'setPassword', summary: "Set one's own password, or issue a code for somebody else's" })
  @ApiBody(shapes.password.body)
  @ApiResponse(shapes.password.answer)
  async password(
    @Req() request: AuthenticatedRequest,
    @Param('name') name: string,
    @Body() body: unknown,
  ): Promise<ResetAnswer | { user: string }> {
    const caller = callerOf(request)
    requirePerson(caller, 'changing a password')
    refuseDryRun(caller.asked)
    const fields = fieldsOf(body, ['current', 'password', 'endSessions'])
    if (name === caller.identity.name) return this.setOwn(caller, fields)
    demand(caller, caller.rights, { role: 'edit', kind: 'users', name })
    if (Object.keys(fields).length > 0)
      throw new DomainError(
        'BadRequest',
        'the password of somebody else is not chosen for him: send no body, and hand him the code',
      )
    return this.reset(caller, name)
  }

  private async setOwn({ identity, asked }: Caller, fields: Record<string, unknown>): Promise<{ user: string }> {
    const current = maybeText(fields, 'current') === undefined ? undefined : secretOf(fields, 'current')
    await this.logins.change(asked.meta, {
      current,
      password: secretOf(fields, 'password'),
      proven: identity.isLocal,
      ...(identity.tokenType === 'ses' && { keptSession: identity.tokenId }),
      endSessions: flagOf(fields, 'endSessions'),
    })
    return { user: identity.name }
  }

  private reset(caller: Caller, name: string): Promise<ResetAnswer> {
    return this.changes.run(caller.asked, async ({ unit, facts }) => {
      demand(caller, rightsNow(caller, facts), { role: 'edit', kind: 'users', name })
      const uid = facts.uidOf('User', name)
      if (uid === undefined) throw notFound('users', name)
      const id = uuidv7()
      const code = mintCode()
      const expiresAt = new Date(Date.now() + codeLifeMs)
      const command = { type: 'IssueSetupCode', id, expiresAt: expiresAt.toISOString() } as const
      await unit.decide(UserModule.decider, `user-${uid}`, command)
      return {
        rows: (transaction) => storeCode(transaction, { id, uid, code, expiresAt }),
        result: { user: name, code, expiresAt: command.expiresAt },
      }
    })
  }
}
