import { maskSecrets } from '@mcpctl/contracts'
import { Type } from 'class-transformer'
import { registerDecorator, ValidateNested, type ValidationArguments, type ValidationOptions } from 'class-validator'

type Check = (value: unknown, object: Record<string, unknown>) => string | undefined

/** A field rule whose message may depend on the value: `check` returns what is wrong, or undefined. */
export const Rule =
  (name: string, check: Check, options?: ValidationOptions): PropertyDecorator =>
  (target, property) => {
    registerDecorator({
      name,
      target: target.constructor,
      propertyName: property as string,
      ...(options && { options }),
      validator: {
        validate: (value: unknown, context?: ValidationArguments) =>
          check(value, (context?.object ?? {}) as Record<string, unknown>) === undefined,
        defaultMessage: (context?: ValidationArguments) =>
          check(context?.value, (context?.object ?? {}) as Record<string, unknown>) ?? '',
      },
    })
  }

const all =
  (...decorators: PropertyDecorator[]): PropertyDecorator =>
  (target, property) => {
    for (const decorate of decorators) decorate(target, property)
  }

/** A wrong value as an error may repeat it: short, and nothing of it that looks as if it was meant for another field. */
export const shown = (value: unknown): string => {
  const whole = JSON.stringify(value) as string | undefined
  const text = maskSecrets(whole ?? String(value))
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** kubectl's words for a wrong value. Not for fields that may hold a secret. */
export const invalidValue = (value: unknown, rule: string): string => `Invalid value: ${shown(value)}: ${rule}`

/** A string matching a pattern; `rule` completes "must …". */
export const Matching = (pattern: RegExp, rule: string): PropertyDecorator =>
  Rule('pattern', (value) =>
    typeof value === 'string' && pattern.test(value) && !value.includes('\0')
      ? undefined
      : invalidValue(value, `must ${rule}`),
  )

export const IntegerBetween = (min: number, max: number): PropertyDecorator =>
  Rule('range', (value) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) return invalidValue(value, 'must be a whole number')
    if (value < min) return invalidValue(value, `must be greater than or equal to ${String(min)}`)
    return value > max ? invalidValue(value, `must be less than or equal to ${String(max)}`) : undefined
  })

export const OneOf = (...allowed: string[]): PropertyDecorator =>
  Rule('enum', (value) =>
    allowed.includes(value as string)
      ? undefined
      : `Unsupported value: ${shown(value)}: supported values: ${allowed.map(shown).join(', ')}`,
  )

const isPlain = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value)

/** One object of another schema class. The class alone would take a list of them, and drop it. */
export const Nested = (schema: () => new () => object): PropertyDecorator =>
  all(
    Rule('type', (value) => (isPlain(value) ? undefined : 'must be an object')),
    ValidateNested(),
    Type(schema),
  )

/** A list of objects of another schema class, at most `max` of them; `entry` says what one looks like. */
export const NestedList = (schema: () => new () => object, max: number, entry: string): PropertyDecorator =>
  all(
    Rule('list', (value) => {
      if (!Array.isArray(value)) return `must be a list of ${entry} entries`
      if (value.length > max) return `must have at most ${String(max)} entries`
      const wrong = value.findIndex((item) => !isPlain(item))
      return wrong === -1 ? undefined : `item ${String(wrong)} must be an object`
    }),
    ValidateNested({ each: true }),
    Type(schema),
  )

/** A list of strings, none with a NUL, at most `max` of them. */
export const StringList = (max: number): PropertyDecorator =>
  Rule('string-list', (value) => {
    if (!Array.isArray(value)) return 'must be a list of strings'
    if (value.length > max) return `must have at most ${String(max)} items`
    const wrong = value.findIndex((item) => typeof item !== 'string' || item.includes('\0'))
    return wrong === -1
      ? undefined
      : `item ${String(wrong)} must be a string without NUL; quote it if it looks like a number`
  })

/** A field of the design that nothing enforces yet: refused, never accepted in silence. */
export const NotYet = (): PropertyDecorator =>
  Rule('unsupported', (value) =>
    value === undefined ? undefined : 'not supported by this version of mcpctl; remove it',
  )
