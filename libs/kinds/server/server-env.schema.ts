import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger'
import { IntegerBetween, MayHoldSecret, Nested, Rule } from '@mcpctl/resource'
import { namePattern } from '@mcpctl/contracts'
import { IsOptional } from 'class-validator'

const MAX_VALUE = 64 * 1024
const MAX_VERSION = 2_147_483_647
const SECRET_ROOT = '/run/secrets/'
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,252}$/
const KEY = /^[-._a-zA-Z0-9]{1,253}$/
const PATH = /^(\/[\w@%+=:,.-]+)+$/
/** A container has these from its engine. */
const SYSTEM = /^\/(proc|sys|dev)(\/|$)/

// None of these messages repeats what was given: it may be a credential in the wrong place.
const EnvName = () =>
  Rule('env-name', (value) =>
    typeof value === 'string' && ENV_NAME.test(value)
      ? undefined
      : 'must be letters, digits and "_", not starting with a digit',
  )

const SecretName = () =>
  Rule('secret-name', (value) =>
    typeof value === 'string' && namePattern.test(value) ? undefined : 'must be the name of a secret',
  )

const SecretKey = () =>
  Rule('secret-key', (value) =>
    typeof value === 'string' && KEY.test(value)
      ? undefined
      : 'must be a key of the secret: letters, digits, "-", "." and "_"',
  )

const Flag = () => Rule('boolean', (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'))

/** One value of a secret. */
export class SecretKeySelector {
  @ApiProperty({ description: 'The secret; it may be created later, instances wait for it.' })
  @SecretName()
  name!: string

  @ApiProperty()
  @SecretKey()
  key!: string

  @ApiPropertyOptional({ minimum: 1, description: 'Pins a version; without it the current one is used.' })
  @IsOptional()
  @IntegerBetween(1, MAX_VERSION)
  version?: number

  @ApiPropertyOptional({ description: 'Start without it where there is no such secret or key.' })
  @IsOptional()
  @Flag()
  optional?: boolean
}

export class EnvSource {
  @ApiProperty({ type: SecretKeySelector })
  @Nested(() => SecretKeySelector)
  secretRef!: SecretKeySelector
}

/** One variable of an instance's environment: a value, or where to find it. */
export class EnvVar {
  @ApiProperty({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' })
  @EnvName()
  name!: string

  @ApiPropertyOptional({ description: 'Plain text, at most 64 KiB. What is secret belongs into a Secret.' })
  @MayHoldSecret('warned')
  @Rule('env-value', (value, entry) => {
    if (entry['valueFrom'] !== undefined)
      return value === undefined ? undefined : 'must not be given beside valueFrom; leave one of them out'
    if (typeof value !== 'string') return 'must be a string; quote it, or give valueFrom instead'
    return value.includes('\0') || value.length > MAX_VALUE ? 'must be at most 64 KiB of text without NUL' : undefined
  })
  value?: string

  @ApiPropertyOptional({ type: EnvSource })
  @IsOptional()
  @Nested(() => EnvSource)
  valueFrom?: EnvSource
}

/** A value of a secret as a file of the instance, readable by its program alone. */
export class SecretFileSpec {
  @ApiProperty({ description: 'The secret; it may be created later, instances wait for it.' })
  @SecretName()
  secret!: string

  @ApiProperty()
  @SecretKey()
  key!: string

  @ApiPropertyOptional({ description: 'Where the file lies. Default: /run/secrets/KEY.', example: '/run/secrets/pem' })
  @IsOptional()
  @Rule('path', (value) =>
    typeof value === 'string' && value.startsWith('/') ? undefined : 'must be an absolute path',
  )
  path?: string

  @ApiPropertyOptional({
    pattern: '^[A-Za-z_][A-Za-z0-9_]*$',
    description: 'Variable that tells the path to the program. Default: KEY_FILE, the key in capitals.',
  })
  @IsOptional()
  @EnvName()
  env?: string

  @ApiPropertyOptional({ minimum: 1, description: 'Pins a version; without it the current one is used.' })
  @IsOptional()
  @IntegerBetween(1, MAX_VERSION)
  version?: number

  @ApiPropertyOptional({ description: 'Start without it where there is no such secret or key.' })
  @IsOptional()
  @Flag()
  optional?: boolean
}

/** The variable that tells the path of a file: `tls.key` → `TLS_KEY_FILE`. */
const variableOf = (key: string): string => {
  const name = `${key.toUpperCase().replace(/[^A-Z0-9_]/g, '_')}_FILE`
  return /^\d/.test(name) ? `_${name}` : name
}

/** Where a file lies and which variable tells so, defaults filled in. */
export const placeOf = ({ key, path, env }: SecretFileSpec): { path: string; env: string } => ({
  path: path ?? `${SECRET_ROOT}${key}`,
  env: env ?? variableOf(key),
})

const pathProblem = (path: string, others: readonly string[]): string | undefined => {
  const steps = path.split('/')
  if (steps.some(({ length }) => length > 255)) return 'must have at most 255 characters between two slashes'
  if (path.length > 512 || !PATH.test(path) || steps.includes('.') || steps.includes('..'))
    return 'must be a path without "." and "..", of letters, digits and @%+=:,.-_; give path where the key makes none'
  if (SYSTEM.test(path) || `${path}/` === SECRET_ROOT) return 'must not be a place of the system'
  if (others.includes(path)) return 'is the path of another entry too; give one of them a path of its own'
  return others.some((other) => path.startsWith(`${other}/`)) ? 'lies below the file of another entry' : undefined
}

const fileProblem = (files: SecretFileSpec[], index: number, taken: ReadonlySet<string>): string | undefined => {
  const places = files.map(placeOf)
  const place = places[index]
  if (!place) return undefined
  const wrong = pathProblem(
    place.path,
    places.filter((_, other) => other !== index).map(({ path }) => path),
  )
  if (wrong !== undefined) return `item ${String(index)}: path ${wrong}`
  const twice = taken.has(place.env) || places.slice(0, index).some(({ env }) => env === place.env)
  return twice ? `item ${String(index)}: variable ${place.env} is set twice; give env another name here` : undefined
}

const isWhole = (file: unknown): file is SecretFileSpec => {
  const { key, path, env } = (file ?? {}) as Record<string, unknown>
  const isPath = path === undefined || (typeof path === 'string' && path.startsWith('/'))
  const isEnv = env === undefined || typeof env === 'string'
  return typeof key === 'string' && KEY.test(key) && isPath && isEnv
}

/** What is wrong with the files together, given the variables that are set besides. */
export const secretFilesProblem = (files: unknown, env: unknown): string | undefined => {
  // What is wrong with one of them is said there.
  if (!Array.isArray(files) || !files.every(isWhole)) return undefined
  const names = Array.isArray(env) ? env.map((entry) => (entry as { name?: unknown } | null)?.name) : []
  const taken = new Set(names.filter((name) => typeof name === 'string'))
  return files.map((_, index) => fileProblem(files, index, taken)).find((problem) => problem !== undefined)
}
