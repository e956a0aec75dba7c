import { Body, Controller, HttpCode, Post, Res } from '@nestjs/common'
import { didYouMean, DomainError, invalid, type FieldError } from '@mcpctl/contracts'
import {
  AskedBy,
  markReplayed,
  parseDesired,
  RequestRunner,
  Resources,
  ResourceWriter,
  type Asked,
  type Desired,
  type Resource,
} from '@mcpctl/resource'
import type { FastifyReply } from 'fastify'

const MAX_DOCUMENTS = 500

interface Document {
  resource: Resource
  desired: Desired
  pointer: string
}

/** Bulk apply: every document of a manifest, or none of it, in one append. */
@Controller('api/v1/apply')
export class ApplyController {
  constructor(
    private readonly resources: Resources,
    private readonly requests: RequestRunner,
    private readonly writer: ResourceWriter,
  ) {}

  @Post()
  @HttpCode(200)
  async apply(@Body() body: unknown, @AskedBy() asked: Asked, @Res({ passthrough: true }) reply: FastifyReply) {
    const documents = this.parse(body)
    const { result, position, replayed } = await this.requests.run(asked, async (context) => {
      const results = []
      for (const { resource, desired, pointer } of documents)
        results.push(await located(pointer, () => this.writer.apply(resource, desired, { mode: 'apply', context })))
      return { results: results.map((outcome) => ({ ...outcome })) }
    })
    markReplayed(reply, { replayed })
    return {
      ...result,
      ...(position !== undefined && { position: String(position) }),
      ...(asked.dryRun && { dryRun: true }),
    }
  }

  /** Checks every document before any is applied, and orders them so that what is named comes first. Throws Invalid with every fault. */
  private parse(body: unknown): Document[] {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new DomainError(
        'BadRequest',
        'a manifest is an object of lists, for example {"servers": [{"name": "github", …}]}',
      )
    const errors: FieldError[] = []
    const documents = Object.entries(body).flatMap(([plural, entries]) => this.parseList(plural, entries, errors))
    if (documents.length > MAX_DOCUMENTS)
      throw new DomainError(
        'TooLarge',
        `a manifest holds at most ${String(MAX_DOCUMENTS)} documents; this one has ${String(documents.length)}`,
      )
    refuseTwice(documents, errors)
    if (errors.length > 0) throw invalid('Manifest', '', errors)
    return documents.sort((a, b) => (a.resource.kind.applyOrder ?? 0) - (b.resource.kind.applyOrder ?? 0))
  }

  private parseList(plural: string, entries: unknown, errors: FieldError[]): Document[] {
    const appliable = this.resources.all().filter(({ kind }) => kind.applyOrder !== undefined)
    const resource = appliable.find(({ kind }) => kind.plural === plural)
    const names = appliable.map(({ kind }) => kind.plural)
    if (!resource) {
      const message =
        plural === 'instances'
          ? 'instances cannot be applied; the reconciler makes them'
          : `unknown resource key${didYouMean(plural, names) || `; use ${names.join(' or ')}`}`
      errors.push({ pointer: `/${plural}`, code: 'unknown-field', message })
      return []
    }
    if (!Array.isArray(entries)) {
      errors.push({ pointer: `/${plural}`, code: 'type', message: 'must be a list of entries' })
      return []
    }
    return entries.flatMap((entry, index) => {
      const pointer = `/${plural}/${String(index)}`
      try {
        return [{ resource, desired: parseDesired(resource, entry, pointer), pointer }]
      } catch (error) {
        if (!(error instanceof DomainError) || !error.details.errors) throw error
        errors.push(...error.details.errors)
        return []
      }
    })
  }
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
