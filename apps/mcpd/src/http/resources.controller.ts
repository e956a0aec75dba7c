import type { Readable } from 'node:stream'
import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Inject,
  Param,
  Patch,
  Post,
  Put,
  Query,
  Req,
  Res,
} from '@nestjs/common'
import type { Rights } from '@mcpctl/access'
import { DomainError, notFound, type ResourceList, type ResourceObject, type Verb } from '@mcpctl/contracts'
import { Objects } from '@mcpctl/read-model'
import {
  AskedBy,
  Authorize,
  credentialWarnings,
  markReplayed,
  parseDesired,
  preconditionOf,
  RequestRunner,
  Resources,
  ResourceWriter,
  type Answered,
  type Asked,
  type Resource,
  type WriteMode,
  type WriteOutcome,
} from '@mcpctl/resource'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { withLastLogins } from '../identity/last-logins'
import { withSecretKeys } from '../store/secret-keys'
import { STORE, type Store } from '../store/store'
import type { AuthenticatedRequest } from './guards'
import { parseListQuery } from './list-query'
import { methods, offered } from './offered'
import { answerTo, visibleTo } from './visible'
import { warn } from './warnings'
import { isWatch } from './watch-query'
import { Watches } from './watches'

interface Path {
  plural: string
  name: string
}

/** Whether a client that sent If-None-Match knows this version; the comparison is the weak one of RFC 9110. */
const isSeen = (ifNoneMatch: string | undefined, tag: string): boolean =>
  ifNoneMatch?.trim() === '*' || (ifNoneMatch ?? '').split(',').some((seen) => seen.trim().replace(/^W\//, '') === tag)

const etag = ({ metadata }: ResourceObject) => `"${metadata.resourceVersion}"`

/** The uniform verbs, one controller for every kind; what differs is the kind's data. */
@Controller('api/v1/:plural')
export class ResourcesController {
  constructor(
    private readonly resources: Resources,
    private readonly objects: Objects,
    private readonly requests: RequestRunner,
    private readonly writer: ResourceWriter,
    private readonly watches: Watches,
    @Inject(STORE) private readonly store: Store,
  ) {}

  @Authorize({ role: 'view', some: true })
  @Get()
  async list(
    @Param('plural') plural: string,
    @Query() query: Record<string, unknown>,
    @Req() request: AuthenticatedRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ResourceList | Readable> {
    const { kind } = this.offered(plural, 'list')
    const { watch: _, ...asked } = query
    if (isWatch(query)) return this.watches.start(kind, request, reply)
    const { uid, rights } = authorOf(request)
    const scopes = rights.scopes('view', plural)
    const { items, ...list } = await this.objects.list(kind, parseListQuery(asked), { uid, scopes })
    const shown = await this.joined(items)
    return { ...list, items: shown.map((object) => visibleTo(object, rights)) }
  }

  @Authorize({ role: 'view' })
  @Get(':name')
  async get(
    @Param() { plural, name }: Path,
    @Req() request: AuthenticatedRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ResourceObject | undefined> {
    const { kind } = this.offered(plural, 'get')
    const object = await this.objects.find(kind.name, name)
    if (!object) throw notFound(plural, name)
    reply.header('etag', etag(object))
    if (isSeen(request.headers['if-none-match'], etag(object))) return void reply.status(304)
    const [shown = object] = await this.joined([object])
    return visibleTo(shown, authorOf(request).rights)
  }

  @Authorize({ role: 'create' })
  @Post()
  @HttpCode(201)
  async create(
    @Param('plural') plural: string,
    @Body() body: unknown,
    @AskedBy() asked: Asked,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const resource = this.offered(plural, 'create')
    const { object } = await this.write(resource, body, { asked, mode: 'create', reply })
    reply.header('location', `/api/v1/${plural}/${object.metadata.name}`)
    return object
  }

  @Authorize({ role: ({ headers }) => (headers['if-none-match'] === '*' ? 'create' : 'edit') })
  @Put(':name')
  async replace(
    @Param() { plural, name }: Path,
    @Req() { headers, body }: FastifyRequest,
    @AskedBy() asked: Asked,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ResourceObject> {
    const resource = this.offered(plural, 'update')
    const create = headers['if-none-match'] === '*'
    if (!create && headers['if-match'] === undefined)
      throw new DomainError(
        'PreconditionRequired',
        'send If-Match with the version that you read, or If-None-Match: * to create',
        {
          kind: plural,
          name,
        },
      )
    const after = preconditionOf(headers['if-match'], this.objects.epoch)
    const mode = create ? 'create' : 'replace'
    const { object, outcome } = await this.write(resource, withName(body, name), { asked, mode, reply, after })
    reply.status(outcome === 'created' ? 201 : 200)
    return object
  }

  @Authorize({ role: 'delete' })
  @Delete(':name')
  async delete(
    @Param() { plural, name }: Path,
    @Req() { headers, query }: FastifyRequest,
    @AskedBy() asked: Asked,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ResourceObject> {
    const resource = this.offered(plural, 'delete')
    const after = preconditionOf(headers['if-match'], this.objects.epoch)
    const force = isForced(query)
    const answered = await this.requests.run(asked, (context) =>
      this.writer.delete(resource, name, { context, after, force }),
    )
    const current = await this.made(answered)
    const object = current ?? (await this.objects.last(answered.result.uid))
    if (!object) throw notFound(plural, name)
    markReplayed(reply, answered)
    reply.status(current && !asked.dryRun ? 202 : 200)
    return asked.rights ? answerTo(object, plural, asked.rights) : object
  }

  /** Objects with what is joined to them at read. */
  private async joined(objects: ResourceObject[]): Promise<ResourceObject[]> {
    return withSecretKeys(this.store.vault, await withLastLogins(this.store.pool, objects))
  }

  private async write(
    resource: Resource,
    body: unknown,
    options: { asked: Asked; mode: WriteMode; reply: FastifyReply; after?: bigint | undefined },
  ): Promise<{ object: ResourceObject; outcome: WriteOutcome['outcome'] }> {
    const { asked, mode, reply, after } = options
    const desired = parseDesired(resource, body, '', asked)
    const answered = await this.requests.run<WriteOutcome>(asked, (context) =>
      this.writer.apply(resource, desired, { mode, context, after }),
    )
    const object = (await this.made(answered)) ?? preview(resource.kind.name, answered, desired)
    markReplayed(reply, answered)
    warn(reply, credentialWarnings(desired, '/spec'), answered.warnings)
    reply.header('etag', etag(object))
    return {
      object: asked.rights ? visibleTo(object, asked.rights) : object,
      outcome: answered.result.outcome,
    }
  }

  /** The object as the request left it, also when it is answered again later; undefined when it is gone with it, or only previewed. */
  private made({ position, result }: Answered<{ uid: string }>): Promise<ResourceObject | undefined> {
    return position === undefined ? this.objects.findByUid(result.uid) : this.objects.at(result.uid, position)
  }

  @Authorize({ role: 'edit' })
  @Patch(':name')
  patch(@Param('plural') plural: string): never {
    this.offered(plural, 'update')
    throw new DomainError('MethodNotAllowed', 'PATCH is not supported yet; use PUT, or POST /api/v1/apply', {
      kind: plural,
      allow: ['GET', 'PUT', 'DELETE'],
    })
  }

  @Authorize('authenticated')
  @Post(':name')
  postToObject(@Param('plural') plural: string): never {
    return this.refuseMethod(plural, ['get', 'update', 'delete'])
  }

  @Authorize('authenticated')
  @Put()
  putToCollection(@Param('plural') plural: string): never {
    return this.refuseMethod(plural, ['list', 'create'])
  }

  @Authorize({ role: 'delete' })
  @Delete()
  deleteCollection(@Param('plural') plural: string): never {
    return this.refuseMethod(plural, ['list', 'create'])
  }

  /** Says which methods the path does have. */
  private refuseMethod(plural: string, verbs: Verb[]): never {
    const { kind } = this.resources.get(plural)
    const allow = verbs.filter((verb) => kind.verbs.includes(verb)).map((verb) => methods[verb])
    throw new DomainError('MethodNotAllowed', `this path takes ${allow.join(', ')} only`, { kind: plural, allow })
  }

  /** The kind of a path segment, if it offers the verb. Throws NotFound or MethodNotAllowed. */
  private offered(plural: string, verb: Verb): Resource {
    return offered(this.resources.get(plural), verb)
  }
}

/** Who asks, and what he may do. */
const authorOf = ({ subject, rights }: AuthenticatedRequest): { uid: string; rights: Rights } => {
  if (!subject || !rights) throw new Error('the route was reached without authentication')
  return { uid: subject.uid, rights }
}

/** Throws BadRequest for what is neither. */
const isForced = (query: unknown): boolean => {
  const { force } = query as { force?: unknown }
  if (force === undefined || force === 'false') return false
  if (force === 'true') return true
  throw new DomainError('BadRequest', 'force must be true or false')
}

const withName = (body: unknown, name: string): unknown => {
  if (typeof body !== 'object' || body === null) return body
  const sent = body as { name?: unknown; metadata?: { name?: unknown } }
  const given = sent.metadata ? sent.metadata.name : sent.name
  if (given !== undefined && given !== name)
    throw new DomainError(
      'BadRequest',
      `the name in the body is not "${name}", the one in the path; names cannot be changed`,
    )
  return sent.metadata ? { ...sent, metadata: { ...sent.metadata, name } } : { ...sent, name }
}

/** What a dry run would have made. */
const preview = (
  kind: string,
  { result }: Answered<WriteOutcome>,
  desired: { name: string; labels: Record<string, string>; annotations: Record<string, string>; spec: object },
): ResourceObject => ({
  kind,
  metadata: {
    name: desired.name,
    uid: result.uid,
    labels: desired.labels,
    annotations: desired.annotations,
    resourceVersion: '0.0',
    generation: 1,
    createdAt: new Date().toISOString(),
    createdBy: '',
  },
  spec: desired.spec as Record<string, unknown>,
  status: {},
})
