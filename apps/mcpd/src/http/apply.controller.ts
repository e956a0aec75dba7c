import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common'
import { didYouMean, DomainError, invalid, type FieldError } from '@mcpctl/contracts'
import {
  AskedBy,
  Authorize,
  credentialWarnings,
  escapePointer,
  markReplayed,
  parseDesired,
  preconditionOf,
  RequestRunner,
  Resources,
  ResourceWriter,
  type Asked,
  type CommandContext,
  type Desired,
  type Resource,
  type WriteOutcome,
} from '@mcpctl/resource'
import type { FastifyReply } from 'fastify'
import { whatIf } from '../authz/what-if'
import { STORE, type Store } from '../store/store'
import { refuseHopeless, refuseReplay, refuseUnlessAllowed, type Applier, type Named } from './apply-rights'
import type { AuthenticatedRequest } from './guards'
import { nameIn } from './name-in'
import { warn } from './warnings'

const MAX_DOCUMENTS = 500

interface Document extends Named {
  resource: Resource
  desired: Desired
}

/** Bulk apply: every document of a manifest, or none of it, in one append. */
@Controller('api/v1/apply')
export class ApplyController {
  constructor(
    private readonly resources: Resources,
    private readonly requests: RequestRunner,
    private readonly writer: ResourceWriter,
    @Inject(STORE) private readonly store: Store,
  ) {}

  @Authorize('inside')
  @Post()
  @HttpCode(200)
  async apply(
    @Body() body: unknown,
    @AskedBy() asked: Asked,
    @Req() request: AuthenticatedRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const applier = applierOf(request)
    refuseHopeless(applier, this.named(body))
    const documents = this.parse(body, asked)
    const { result, position, replayed, warnings } = await this.requests.run(asked, async (context) => {
      const results = await this.write(documents, { applier, context })
      const access = await this.preview(asked, context)
      return { results: results.map((outcome) => ({ ...outcome })), ...(access && { access }) }
    })
    if (replayed) refuseReplay(applier, result.results)
    markReplayed(reply, { replayed })
    warn(
      reply,
      documents.flatMap(({ desired, pointer }) => credentialWarnings(desired, pointer)),
      warnings,
    )
    return {
      ...result,
      ...(position !== undefined && { position: String(position) }),
      ...(asked.dryRun && { dryRun: true }),
    }
  }

  private async write(
    documents: Document[],
    { applier, context }: { applier: Applier; context: CommandContext },
  ): Promise<WriteOutcome[]> {
    await refuseUnlessAllowed(applier, documents, { context, writer: this.writer })
    const results = []
    for (const { resource, desired, pointer } of documents) {
      const { resourceVersion, ...wanted } = desired
      results.push(
        await located(pointer, () => {
          const after = preconditionOf(resourceVersion, this.store.objects.epoch)
          return this.writer.apply(resource, wanted, { mode: 'apply', context, after })
        }),
      )
    }
    return results
  }

  /** Every document of a kind that can be applied and that has a name; what is wrong with the others is said later. */
  private named(body: unknown): Named[] {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) return []
    const plurals = this.resources.all().flatMap(({ kind }) => (kind.applyOrder === undefined ? [] : [kind.plural]))
    return Object.entries(body)
      .filter(([plural, entries]) => plurals.includes(plural) && Array.isArray(entries))
      .flatMap(([plural, entries]) =>
        (entries as unknown[]).flatMap((entry, index) => {
          const name = nameIn(entry)
          return name === undefined ? [] : [{ plural, name, pointer: `/${plural}/${String(index)}` }]
        }),
      )
  }

  /** Who would gain and lose what by a request that is only tried. */
  private async preview({ dryRun, rights }: Asked, context: CommandContext) {
    if (!dryRun || !rights) return undefined
    const { facts } = await this.store.directory.current()
    return whatIf(facts, context, rights)?.map((change) => ({ ...change }))
  }

  /** Checks every document before any is applied, and orders them so that what is named comes first. Throws Invalid with every fault. */
  private parse(body: unknown, asked: Asked): Document[] {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new DomainError(
        'BadRequest',
        'a manifest is an object of lists, for example {"servers": [{"name": "github", …}]}',
      )
    const errors: FieldError[] = []
    const documents = Object.entries(body).flatMap(([plural, entries]) =>
      this.parseList(plural, entries, { asked, errors }),
    )
    if (documents.length > MAX_DOCUMENTS)
      throw new DomainError(
        'TooLarge',
        `a manifest holds at most ${String(MAX_DOCUMENTS)} documents; this one has ${String(documents.length)}`,
      )
    refuseTwice(documents, errors)
    if (errors.length > 0) throw invalid('Manifest', '', errors)
    return documents.sort((a, b) => (a.resource.kind.applyOrder ?? 0) - (b.resource.kind.applyOrder ?? 0))
  }

  private parseList(
    plural: string,
    entries: unknown,
    { asked, errors }: { asked: Asked; errors: FieldError[] },
  ): Document[] {
    const appliable = this.resources.all().filter(({ kind }) => kind.applyOrder !== undefined)
    const resource = appliable.find(({ kind }) => kind.plural === plural)
    const names = appliable.map(({ kind }) => kind.plural)
    if (!resource) {
      const message =
        plural === 'instances'
          ? 'instances cannot be applied; the reconciler makes them'
          : `unknown resource key${didYouMean(plural, names) || `; use ${names.join(' or ')}`}`
      errors.push({ pointer: `/${escapePointer(plural)}`, code: 'unknown-field', message })
      return []
    }
    if (!Array.isArray(entries)) {
      errors.push({ pointer: `/${plural}`, code: 'type', message: 'must be a list of entries' })
      return []
    }
    return entries.flatMap((entry, index) => {
      const pointer = `/${plural}/${String(index)}`
      try {
        const desired = parseDesired(resource, entry, pointer, asked)
        return [{ resource, desired, pointer, plural, name: desired.name }]
      } catch (error) {
        if (!(error instanceof DomainError) || !error.details.errors) throw error
        errors.push(...error.details.errors)
        return []
      }
    })
  }
}

const applierOf = ({ subject, rights }: AuthenticatedRequest): Applier => {
  if (!subject || !rights) throw new Error('the route was reached without authentication')
  return { subject, rights }
}

const refuseTwice = (documents: Document[], errors: FieldError[]): void => {
  const seen = new Set<string>()
  for (const { resource, desired, pointer } of documents) {
    const id = `${resource.kind.singular}/${desired.name}`
    if (seen.has(id))
      errors.push({ pointer: `${pointer}/name`, code: 'duplicate', message: `${id} appears twice in this manifest` })
    seen.add(id)
  }
}

/** Points a refusal of one document at its place in the manifest. */
const located = async <T>(pointer: string, act: () => Promise<T>): Promise<T> => {
  try {
    return await act()
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    const { errors, ...details } = error.details
    const placed = errors?.map((wrong) => ({ ...wrong, pointer: pointer + wrong.pointer.replace(/^\/spec(?=\/)/, '') }))
    throw new DomainError(error.code, error.message, { ...details, ...(placed && { errors: placed }) })
  }
}
