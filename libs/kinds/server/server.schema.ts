import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger'
import {
  IntegerBetween,
  invalidValue,
  Matching,
  Nested,
  NestedList,
  NotYet,
  OneOf,
  Rule,
  StringList,
} from '@mcpctl/resource'
import { IsOptional } from 'class-validator'
import { EnvVar, SecretFileSpec, secretFilesProblem } from './server-env.schema'

const IMAGE = /^[\w][\w./:@-]{0,511}$/
const PACKAGE =
  /^npm:(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*@\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/
const MAX_ENV = 256
const MAX_FILES = 64

const packageProblem = (value: unknown): string | undefined => {
  if (typeof value !== 'string') return invalidValue(value, 'must be a string like npm:@scope/name@1.2.3')
  if (PACKAGE.test(value)) return undefined
  if (value.startsWith('pypi:')) return 'pypi packages are not supported yet; use an npm package or an image'
  if (!value.startsWith('npm:')) return invalidValue(value, 'must start with npm:, for example npm:@scope/name@1.2.3')
  return invalidValue(value, 'must name an exact version, for example npm:@scope/name@1.2.3')
}

const SOURCES = ['image', 'package', 'url'] as const

const sourceProblem = (server: Record<string, unknown>): string | undefined => {
  const given = SOURCES.filter((source) => server[source] !== undefined)
  if (given.length === 1) return undefined
  const found = given.length === 0 ? 'none was given' : `${given.join(' and ')} were given`
  return `exactly one of image, package and url says what to run; ${found}`
}

const transportProblem = (server: Record<string, unknown>): string | undefined => {
  if (server['url'] !== undefined && server['transport'] === 'stdio') return 'a server behind a url speaks http'
  if (server['image'] !== undefined && server['transport'] === 'http' && server['port'] === undefined)
    return 'an image with transport http needs a port'
  return undefined
}

const envProblem = (value: unknown): string | undefined => {
  const names = Array.isArray(value) ? value.map((entry) => (entry as { name?: unknown } | null)?.name) : []
  const twice = names.find((name, index) => typeof name === 'string' && names.indexOf(name) !== index)
  return twice === undefined ? undefined : `names ${JSON.stringify(twice)} twice`
}

/** Limits of one instance. Enforced by the docker driver. */
export class Resources {
  @ApiPropertyOptional({ example: '512Mi' })
  @IsOptional()
  @Matching(/^[1-9]\d{0,8}(Ki|Mi|Gi|K|M|G)?$/, 'be a quantity like 512Mi or 1Gi')
  memory?: string

  @ApiPropertyOptional({ example: '0.5' })
  @IsOptional()
  @Matching(/^(\d{1,3}(\.\d{1,3})?|\d{1,6}m)$/, 'be a number of processors like "0.5" or 500m')
  cpu?: string

  @ApiPropertyOptional({ minimum: 1, maximum: 32768 })
  @IsOptional()
  @IntegerBetween(1, 32768)
  pids?: number
}

export class Network {
  @ApiProperty({ enum: ['none', 'internal', 'egress'] })
  @OneOf('none', 'internal', 'egress')
  mode!: 'none' | 'internal' | 'egress'

  @IsOptional()
  @NotYet()
  allow?: never
}

const deadlineProblem = (value: unknown, minReadySeconds: unknown): string | undefined =>
  typeof value === 'number' && typeof minReadySeconds === 'number' && value <= minReadySeconds
    ? 'must be greater than minReadySeconds'
    : undefined

/** How instances of an old revision are replaced by instances of a new one. */
export class Strategy {
  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: 100, default: 0 })
  @IntegerBetween(0, 100)
  maxUnavailable = 0

  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: 100, default: 1 })
  @IntegerBetween(0, 100)
  @Rule('surge', (value, { maxUnavailable }) =>
    value === 0 && maxUnavailable === 0
      ? 'must not be 0 when maxUnavailable is 0: nothing could be replaced'
      : undefined,
  )
  maxSurge = 1

  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: 3600, default: 0 })
  @IntegerBetween(0, 3600)
  minReadySeconds = 0

  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: 86_400, default: 600 })
  @IntegerBetween(1, 86_400)
  @Rule('deadline', (value, { minReadySeconds }) => deadlineProblem(value, minReadySeconds))
  progressDeadlineSeconds = 600
}

/** Desired state of a server: what to run and how many. */
export class ServerSpec {
  @ApiPropertyOptional({ description: 'Container image.', example: 'ghcr.io/github/github-mcp-server:v0.9' })
  @IsOptional()
  @Matching(IMAGE, 'be an image reference like ghcr.io/team/server:1.2')
  image?: string

  @ApiPropertyOptional({ description: 'npm package, exact version.', example: 'npm:@scope/name@1.2.3' })
  @IsOptional()
  @Rule('package', packageProblem)
  package?: string

  @ApiPropertyOptional({ description: 'Remote server, https.', example: 'https://mcp.example.com/mcp' })
  @IsOptional()
  @Matching(/^https?:\/\/\S{1,2000}$/, 'be an https URL')
  url?: string

  @ApiPropertyOptional({ enum: ['stdio', 'http'], description: 'Default: http for a url, else stdio.' })
  @IsOptional()
  @OneOf('stdio', 'http')
  transport?: 'stdio' | 'http'

  @ApiPropertyOptional({ minimum: 1, maximum: 65535, description: 'Port inside the container; transport http only.' })
  @IsOptional()
  @IntegerBetween(1, 65535)
  port?: number

  @ApiPropertyOptional({ description: 'Path of the MCP endpoint; transport http only.', default: '/mcp' })
  @IsOptional()
  @Matching(/^\/[\w\-./~%]{0,500}$/, 'be an absolute path like /mcp')
  path?: string

  @ApiPropertyOptional({ type: [String], description: 'Replaces the entry point. An argv list, never a shell string.' })
  @StringList(256)
  @Rule('whole-source', (_, server) => sourceProblem(server))
  command: string[] = []

  @ApiPropertyOptional({ type: [String] })
  @StringList(256)
  @Rule('whole-transport', (_, server) => transportProblem(server))
  args: string[] = []

  @ApiPropertyOptional({ type: [EnvVar] })
  @NestedList(() => EnvVar, MAX_ENV, '{ name, value }')
  @Rule('env', envProblem)
  env: EnvVar[] = []

  @ApiPropertyOptional({ type: 'integer', minimum: 0, maximum: 100, default: 1 })
  @IntegerBetween(0, 100)
  replicas = 1

  @ApiPropertyOptional({ type: Resources })
  @IsOptional()
  @Nested(() => Resources)
  resources?: Resources

  @ApiPropertyOptional({ type: Network })
  @IsOptional()
  @Nested(() => Network)
  network?: Network

  @ApiPropertyOptional({ type: [SecretFileSpec] })
  @NestedList(() => SecretFileSpec, MAX_FILES, '{ secret, key }')
  @Rule('secret-files', (value, { env }) => secretFilesProblem(value, env))
  secretFiles: SecretFileSpec[] = []

  @ApiPropertyOptional({ type: Strategy })
  @IsOptional()
  @Nested(() => Strategy)
  strategy?: Strategy

  @ApiPropertyOptional({
    enum: ['Restart', 'Manual'],
    default: 'Restart',
    description: 'Whether a new version of a secret that the server uses restarts its instances.',
  })
  @IsOptional()
  @OneOf('Restart', 'Manual')
  secretRotation?: 'Restart' | 'Manual'

  @IsOptional()
  @NotYet()
  probes?: never

  @IsOptional()
  @NotYet()
  tools?: never
}

/** Body of the scale subresource. */
export class ScaleSpec {
  @ApiProperty({ type: 'integer', minimum: 0, maximum: 100 })
  @IntegerBetween(0, 100)
  replicas!: number
}
