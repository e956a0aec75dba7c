import { All, Controller, Param, Req, Res } from '@nestjs/common'
import { DomainError } from '@mcpctl/contracts'
import { mcpHandler, type EndpointRef, type Gateway, type McpHandler } from '@mcpctl/gateway'
import { Inject } from '@nestjs/common'
import { Authorize } from '@mcpctl/resource'
import type { FastifyReply } from 'fastify'
import type { Logger } from 'pino'
import { Denials } from '../identity/denials'
import { LOGGER } from '../log'
import { STORE, type Store } from '../store/store'
import type { AuthenticatedRequest } from './guards'

export const GATEWAY = Symbol('Gateway')

/** The MCP endpoints of servers and projects. */
@Controller('mcp')
export class McpController {
  private readonly handler: McpHandler
  private readonly denials: Denials

  constructor(@Inject(GATEWAY) gateway: Gateway, @Inject(STORE) { log }: Store, @Inject(LOGGER) logger: Logger) {
    this.handler = mcpHandler(gateway)
    this.denials = new Denials(log, (error) => logger.warn({ error }, 'a refusal could not be recorded'))
  }

  @Authorize({ role: 'run', kind: 'servers', live: true })
  @All('servers/:name')
  server(@Param('name') name: string, @Req() request: AuthenticatedRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.handle({ kind: 'server', name }, request, reply)
  }

  @Authorize({ role: 'run', kind: 'projects', live: true })
  @All('projects/:name')
  project(
    @Param('name') name: string,
    @Req() request: AuthenticatedRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.handle({ kind: 'project', name }, request, reply)
  }

  private async handle(endpoint: EndpointRef, request: AuthenticatedRequest, reply: FastifyReply): Promise<void> {
    const { identity, subject } = request
    if (!identity || !subject) throw new DomainError('Unauthorized', 'a token is needed')
    const gone = new AbortController()
    reply.raw.on('close', () => {
      if (!reply.raw.writableFinished) gone.abort()
    })
    const answer = await this.handler.handle({
      method: request.method,
      endpoint,
      headers: request.headers,
      body: request.body,
      // A session belongs to the token too: whoever learns its id has nothing.
      user: { uid: `${subject.uid}/${identity.tokenId}` },
      signal: gone.signal,
    })
    if (answer.isOthers) this.denials.record(foreignSession(endpoint), request)
    void reply
      .status(answer.status)
      .headers(answer.headers)
      .send(answer.stream ?? answer.body)
  }
}

const foreignSession = ({ kind, name }: EndpointRef): DomainError =>
  new DomainError('Forbidden', "the session is somebody else's", { asked: `session of another at ${kind}/${name}` })
