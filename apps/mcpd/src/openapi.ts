import type { INestApplication, Type } from '@nestjs/common'
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger'
import type { Resource } from '@mcpctl/resource'
import { adminSchemas } from './admin/admin.openapi'
import { authzSchemas } from './authz/authz.openapi'
import { version } from './version'

type Schema = Record<string, unknown>
type Schemas = Record<string, Schema>

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
const json = (schema: Schema) => ({ content: { 'application/json': { schema } } })
const strings: Schema = { type: 'object', additionalProperties: { type: 'string' } }

const metadata: Schema = {
  type: 'object',
  required: ['name'],
  properties: {
    name: { type: 'string' },
    labels: strings,
    annotations: strings,
    uid: { type: 'string', format: 'uuid', readOnly: true },
    resourceVersion: { type: 'string', readOnly: true, description: 'Opaque; grows with each change.' },
    generation: { type: 'integer', readOnly: true, description: 'Grows when the spec changes, and only then.' },
    createdAt: { type: 'string', format: 'date-time', readOnly: true },
    createdBy: { type: 'string', readOnly: true },
    deletionTimestamp: { type: 'string', format: 'date-time', readOnly: true },
  },
}

const problem: Schema = {
  type: 'object',
  description: 'RFC 9457 problem details.',
  required: ['type', 'title', 'status', 'detail', 'instance', 'reason'],
  properties: {
    type: { type: 'string', format: 'uri' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    instance: { type: 'string' },
    reason: { type: 'string' },
    kind: { type: 'string' },
    name: { type: 'string' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['pointer', 'code', 'message'],
        properties: { pointer: { type: 'string' }, code: { type: 'string' }, message: { type: 'string' } },
      },
    },
    retryAfter: { type: 'integer', description: 'Seconds.' },
    position: { type: 'string' },
  },
}

const failures = (...statuses: number[]) =>
  Object.fromEntries(
    [400, 401, 403, 421, ...statuses, 503].map((status) => [
      String(status),
      {
        description: `Refused (${String(status)}).`,
        content: { 'application/problem+json': { schema: ref('Problem') } },
      },
    ]),
  )

const parameter = (where: string, name: string, description: string, required = where === 'path') => ({
  in: where,
  name,
  description,
  required,
  schema: { type: 'string' },
})

const name = parameter('path', 'name', 'Name of the object.')
const key = parameter(
  'header',
  'Idempotency-Key',
  'A retried request with the same key is answered again, not executed again.',
)
const ifMatch = parameter('header', 'If-Match', 'Refuse when the spec has changed since this version.')
const dryRun = parameter('query', 'dryRun', '"All": check and decide, change nothing.')
const allowCredentialLike = parameter(
  'query',
  'allowCredentialLike',
  '"true": take a field that looks like a credential outside of a Secret; it is refused otherwise.',
)
const listed = ['labelSelector', 'fieldSelector', 'limit', 'continue'].map((query) =>
  parameter('query', query, query === 'continue' ? 'Token of the page before.' : `Kubernetes-style ${query}.`),
)

const watched = [
  parameter('query', 'watch', 'true: what happens to the objects, as server-sent events that go on.'),
  parameter('query', 'resourceVersion', 'With watch: tell what has happened since; default is from now on.'),
  parameter('query', 'sendInitialEvents', 'With watch, true: begin with what is there, then a BOOKMARK.'),
  parameter('header', 'Last-Event-ID', 'With watch: go on after this event.'),
]
const events = {
  'text/event-stream': {
    schema: {
      type: 'string',
      description:
        'ADDED, MODIFIED, DELETED: an object. BOOKMARK: all up to the id has been told. ERROR: a problem; with status 410 list again.',
    },
  },
}

const collection = ({ kind }: Resource) => ({
  get: {
    tags: [kind.plural],
    operationId: `list${kind.name}s`,
    summary: `List ${kind.plural}`,
    parameters: [...listed, ...watched],
    responses: {
      200: {
        description: 'A page, in order of names; or what happens, in the order in which it does.',
        content: { ...json(ref(`${kind.name}List`)).content, ...events },
      },
      ...failures(406, 410, 429),
    },
  },
  ...(kind.verbs.includes('create') && {
    post: {
      tags: [kind.plural],
      operationId: `create${kind.name}`,
      summary: `Create a ${kind.singular}`,
      parameters: [key, dryRun, allowCredentialLike],
      requestBody: { required: true, ...json(ref(kind.name)) },
      responses: { 201: { description: 'Created.', ...json(ref(kind.name)) }, ...failures(409, 413, 422) },
    },
  }),
})

const item = ({ kind }: Resource) => ({
  get: {
    tags: [kind.plural],
    operationId: `get${kind.name}`,
    summary: `Read a ${kind.singular}`,
    parameters: [name],
    responses: { 200: { description: 'The object.', ...json(ref(kind.name)) }, ...failures(404) },
  },
  ...(kind.verbs.includes('update') && {
    put: {
      tags: [kind.plural],
      operationId: `replace${kind.name}`,
      summary: `Replace a ${kind.singular}, or create it with If-None-Match: *`,
      parameters: [name, ifMatch, key, dryRun, allowCredentialLike],
      requestBody: { required: true, ...json(ref(kind.name)) },
      responses: {
        200: { description: 'Replaced, or unchanged.', ...json(ref(kind.name)) },
        201: { description: 'Created.', ...json(ref(kind.name)) },
        ...failures(404, 409, 412, 413, 422, 428),
      },
    },
  }),
  ...(kind.verbs.includes('delete') && {
    delete: {
      tags: [kind.plural],
      operationId: `delete${kind.name}`,
      summary: `Delete a ${kind.singular}`,
      parameters: [name, ifMatch, key, dryRun],
      responses: {
        200: { description: 'Gone; the last version.', ...json(ref(kind.name)) },
        202: { description: 'Terminating.', ...json(ref(kind.name)) },
        ...failures(404, 409, 412),
      },
    },
  }),
})

const schemasOf = ({ kind, schema }: Resource): Schemas => ({
  [kind.name]: {
    type: 'object',
    required: ['metadata'],
    properties: {
      kind: { type: 'string', const: kind.name },
      metadata: ref('Metadata'),
      spec: schema ? ref(schema.name) : { type: 'object', readOnly: true },
      status: { type: 'object', readOnly: true },
      referencedBy: {
        type: 'object',
        readOnly: true,
        additionalProperties: { type: 'array', items: { type: 'string' } },
      },
    },
  },
  [`${kind.name}List`]: {
    type: 'object',
    properties: {
      kind: { type: 'string' },
      metadata: { type: 'object', properties: { resourceVersion: { type: 'string' }, continue: { type: 'string' } } },
      items: { type: 'array', items: ref(kind.name) },
    },
  },
})

/** The API's description: the uniform verbs spelled out for each kind, the other routes as Nest knows them. */
export const openApiOf = (app: INestApplication, resources: Resource[]): OpenAPIObject => {
  const config = new DocumentBuilder()
    .setTitle('mcpctl')
    .setDescription('Declare, run and audit MCP servers.')
    .setVersion(version)
    .setOpenAPIVersion('3.1.0')
    .addBearerAuth()
    .addSecurityRequirements('bearer')
    .build()
  const extraModels = resources.flatMap(({ schema }) => (schema ? [schema as Type] : []))
  const document = SwaggerModule.createDocument(app, config, { extraModels })
  const uniform = resources.flatMap((resource) => [
    [`/api/v1/${resource.kind.plural}`, collection(resource)],
    [`/api/v1/${resource.kind.plural}/{name}`, item(resource)],
  ])
  const others = Object.entries(document.paths).filter(([path]) => !path.includes('{plural}'))
  const schemas: Schemas = Object.assign({}, ...resources.map(schemasOf)) as Schemas
  return {
    ...document,
    paths: Object.fromEntries([...uniform, ...others]) as OpenAPIObject['paths'],
    components: {
      ...document.components,
      schemas: {
        ...document.components?.schemas,
        ...schemas,
        ...adminSchemas,
        ...authzSchemas,
        Metadata: metadata,
        Problem: problem,
      },
    },
  }
}

/** JSON Schema of the manifest: for editors, and for whoever writes one by program. */
export const manifestSchemaOf = (document: OpenAPIObject, resources: Resource[]): Schema => {
  const written = resources.filter(({ kind, schema }) => schema && kind.applyOrder !== undefined)
  const all = document.components?.schemas as Schemas
  const $defs = Object.fromEntries(Object.entries(all).filter(([schema]) => !(schema in answerSchemas(resources))))
  return JSON.parse(
    JSON.stringify({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      title: 'mcpctl manifest',
      type: 'object',
      additionalProperties: false,
      properties: Object.fromEntries(written.map((resource) => [resource.kind.plural, entries(resource, all)])),
      $defs,
    }).replaceAll('#/components/schemas/', '#/$defs/'),
  ) as Schema
}

/** What no manifest is made of. */
const answerSchemas = (resources: Resource[]): Schemas => ({
  ...(Object.assign({}, ...resources.map(schemasOf)) as Schemas),
  ...adminSchemas,
  ...authzSchemas,
  Metadata: {},
  Problem: {},
})

const entries = ({ schema }: Resource, all: Schemas): Schema => {
  const spec = all[schema?.name ?? ''] as { properties?: Schemas } | undefined
  return {
    type: 'array',
    items: {
      type: 'object',
      required: ['name'],
      additionalProperties: false,
      properties: { name: { type: 'string' }, labels: strings, annotations: strings, ...spec?.properties },
    },
  }
}
