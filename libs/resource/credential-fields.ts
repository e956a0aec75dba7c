import { credentialProblem, looksLikeCredential, type FieldError } from '@mcpctl/contracts'
import { escapePointer } from './parse-spec'

const KEY = Symbol('MayHoldSecret')

/**
 * Marks a field in which a secret is in its right place, which is not searched for credentials. `warned`: it may be there, but a Secret would be better:
 * a credential found is told as a warning.
 */
export const MayHoldSecret =
  (how: 'silent' | 'warned' = 'silent'): PropertyDecorator =>
  (target, property) => {
    Reflect.defineMetadata(KEY, how, target, property)
  }

const howOf = (object: object, property: string): 'silent' | 'warned' | undefined =>
  Reflect.getMetadata(KEY, object, property) as 'silent' | 'warned' | undefined

/** Fields that hold what looks like a credential. Neither says what they hold. */
export interface CredentialsFound {
  errors: FieldError[]
  warnings: FieldError[]
}

/** Searches every text in a value, keys of maps included. */
export const findCredentials = (value: unknown, pointer: string): CredentialsFound => {
  const found: CredentialsFound = { errors: [], warnings: [] }
  search(value, pointer, { found, list: found.errors })
  return found
}

const search = (value: unknown, pointer: string, to: { found: CredentialsFound; list: FieldError[] }): void => {
  if (typeof value === 'string') return report(value, pointer, to.list)
  if (Array.isArray(value))
    return value.forEach((item, index) => {
      search(item, `${pointer}/${String(index)}`, to)
    })
  if (typeof value !== 'object' || value === null) return
  for (const [key, member] of Object.entries(value)) {
    const how = howOf(value, key)
    if (how === 'silent') continue
    const at = `${pointer}/${escapePointer(key)}`
    report(key, at, to.list)
    search(member, at, how === 'warned' ? { ...to, list: to.found.warnings } : to)
  }
}

const report = (text: string, pointer: string, list: FieldError[]): void => {
  if (looksLikeCredential(text)) list.push({ pointer, code: 'credential-like', message: credentialProblem })
}
