import type { CanActivate, ExecutionContext } from '@nestjs/common'
import { forbidden, type Ask, type Rights } from '@mcpctl/access'
import { DomainError, type Kind, type Role } from '@mcpctl/contracts'
import type { Objects } from '@mcpctl/read-model'
import { needOf, type Need, type OperationNeed, type Resources, type RoleNeed } from '@mcpctl/resource'
import type { FastifyReply } from 'fastify'
import type { AuthenticatedRequest } from './guards'
import type { OpenStreams } from './open-streams'
import { nameIn } from './name-in'
import { refuseVerb } from './offered'

export interface AuthorizationOptions {
  resources: Resources
  objects: Objects
  streams: OpenStreams
}

/** Never while one acts as somebody else: with these one would become him. */
const PERSONAL = new Set(['reveal', 'tokens', 'impersonate'])

/** Decides before anything is looked up whether a request may do what its route needs. What says nothing is refused. */
export class AuthorizationGuard implements CanActivate {
  constructor(private readonly options: AuthorizationOptions) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const need = needOf(context.getClass(), context.getHandler())
    if (need === 'open') return true
    const http = context.switchToHttp()
    const request = http.getRequest<AuthenticatedRequest>()
    const { subject, rights } = request
    if (need === undefined || !subject || !rights)
      throw new DomainError('Forbidden', 'nobody has said who may do this; it is refused')
    if (typeof need === 'string') return true
    await this.require(need, request, { rights, reply: http.getResponse<FastifyReply>() })
    return true
  }

  private async require(
    need: Exclude<Need, string>,
    request: AuthenticatedRequest,
    { rights, reply }: { rights: Rights; reply: FastifyReply },
  ): Promise<void> {
    const ask = await this.placed(this.askOf(need, request), rights)
    const isPersonal = 'action' in ask && PERSONAL.has(ask.action) && request.impersonator !== undefined
    if (isPersonal || !isAllowed(need, ask, rights)) throw forbidden(request.subject?.name ?? '', ask)
    if (need.live) this.options.streams.closeWhenLost(request, ask, reply)
  }

  private askOf(need: RoleNeed | OperationNeed, request: AuthenticatedRequest): Ask {
    const { plural, name } = request.params as { plural?: string; name?: string }
    const kind = need.kind ?? plural
    if ('operation' in need)
      return { action: need.operation, ...(kind !== undefined && { kind, ...(name !== undefined && { name }) }) }
    if (kind === undefined) throw new DomainError('Forbidden', 'nobody has said of which kind; it is refused')
    const role = typeof need.role === 'function' ? need.role(request) : need.role
    refuseMeaningless(this.options.resources.get(kind).kind, role)
    const named = name ?? (role === 'create' ? nameIn(request.body) : undefined)
    return { role, kind, ...(named !== undefined && { name: named }) }
  }

  /** Rights on a server hold for its instances. Who is allowed anyway is not looked up. */
  private async placed(ask: Ask, rights: Rights): Promise<Ask> {
    if (ask.kind !== 'instances' || ask.name === undefined || rights.allows(ask)) return ask
    const owner = (await this.options.objects.find('Instance', ask.name))?.spec['server']
    return typeof owner === 'string' ? { ...ask, owner } : ask
  }
}

const isAllowed = (need: RoleNeed | OperationNeed, ask: Ask, rights: Rights): boolean =>
  rights.allows(ask) || ('some' in need && 'role' in ask && rights.reaches(ask.role, ask.kind))

/** What a kind does not have is offered to nobody; there is nothing to be allowed. */
const refuseMeaningless = (kind: Kind, role: Role): void => {
  if (!kind.roles.includes(role)) refuseVerb(kind, role)
}
