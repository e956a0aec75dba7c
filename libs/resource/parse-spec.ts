import { didYouMean, maskSecrets, type FieldError } from '@mcpctl/contracts'
import type { Type } from '@nestjs/common'
import { plainToInstance } from 'class-transformer'
import { getMetadataStorage, validateSync, type ValidationError } from 'class-validator'

/** Known property names of a schema class, inherited ones included. */
export const fieldNames = (schema: Type): string[] => [
  ...new Set(
    getMetadataStorage()
      .getTargetValidationMetadatas(schema, '', true, false)
      .map((metadata) => metadata.propertyName)
      .filter((name) => name !== ''),
  ),
]

/** RFC 6901; of a key in which somebody has pasted a secret, `***`. */
export const escapePointer = (key: string) => maskSecrets(key).replaceAll('~', '~0').replaceAll('/', '~1')

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** More than anybody reads; to word each of a million would keep us busy. */
const MAX_WORDED = 100

const flatten = (errors: ValidationError[], prefix: string): FieldError[] =>
  errors.slice(0, MAX_WORDED).flatMap((error) => {
    const pointer = `${prefix}/${escapePointer(error.property)}`
    const own = Object.entries(error.constraints ?? {}).map(([code, message]) =>
      fieldError(error, pointer, code, message),
    )
    return [...own, ...flatten(error.children ?? [], pointer)]
  })

const fieldError = (error: ValidationError, pointer: string, code: string, message: string): FieldError => {
  if (code === 'whitelistValidation') {
    const known = fieldNames((error.target as object).constructor as Type)
    return { pointer, code: 'unknown-field', message: `unknown field${didYouMean(error.property, known)}` }
  }
  // The class-level rules hang on a property only because decorators need one; they speak of the whole object.
  return { pointer: code.startsWith('whole-') ? pointer.slice(0, pointer.lastIndexOf('/')) : pointer, code, message }
}

/** No honest spec comes near; the validator takes its time for each. */
const MAX_FIELDS = 5_000

const countFields = (value: unknown): number => {
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + countFields(item), 0)
  return isObject(value) ? Object.values(value).reduce<number>((sum, item) => sum + 1 + countFields(item), 0) : 0
}

const VERBATIM = Symbol('Verbatim')

type Take = (given: unknown) => unknown

/** A field that is taken as it was sent: what it holds is the caller's own, a null in it included. `take` makes the field's value of it. */
export const Verbatim =
  (take: Take): PropertyDecorator =>
  (target, property) => {
    Reflect.defineMetadata(VERBATIM, take, target, property)
  }

/** The fields that are given: those taken as they are, and the others without what was left empty in them. */
const split = (schema: Type, input: Record<string, unknown>) => {
  const verbatim: Record<string, unknown> = {}
  const others: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(input)) {
    const take = Reflect.getMetadata(VERBATIM, schema.prototype as object, field) as Take | undefined
    if (value === null) continue
    if (take) verbatim[field] = take(value)
    else others[field] = withoutNulls(value)
  }
  return { verbatim, others }
}

/** Pointers of members that class-transformer takes for the class of the object that has them, or passes over in silence. */
const disguised = (value: unknown, pointer: string): string[] => {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, member]) => {
    const at = `${pointer}/${escapePointer(key)}`
    return key === 'constructor' ? [at] : disguised(member, at)
  })
}

/** A field that is null is one that was left empty: its default holds. */
const withoutNulls = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (!isObject(value)) return value
  const given = Object.entries(value).filter(([, member]) => member !== null)
  return Object.fromEntries(given.map(([key, member]) => [key, withoutNulls(member)]))
}

/** Parses by a schema class: strict about unknown fields, one error per field with a pointer below `prefix`; defaults filled in. */
export const parseSpec = <Spec extends object>(
  schema: Type<Spec>,
  input: unknown,
  prefix = '/spec',
): { spec: Spec; errors: FieldError[] } => {
  if (!isObject(input))
    return { spec: new schema(), errors: [{ pointer: prefix, code: 'type', message: 'must be an object' }] }
  if (countFields(input) > MAX_FIELDS) {
    const message = `must not hold more than ${String(MAX_FIELDS)} fields in all`
    return { spec: new schema(), errors: [{ pointer: prefix, code: 'size', message }] }
  }
  const { verbatim, others } = split(schema, input)
  const unknown = disguised(others, prefix).map((pointer) => ({
    pointer,
    code: 'unknown-field',
    message: 'unknown field',
  }))
  if (unknown.length > 0) return { spec: new schema(), errors: unknown }
  const spec = plainToInstance<Spec, object>(schema, others, { exposeDefaultValues: true })
  Object.assign(spec, verbatim)
  const errors = validateSync(spec, {
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
    stopAtFirstError: true,
  })
  return { spec, errors: flatten(errors, prefix) }
}
