import type { FieldError } from '@mcpctl/contracts'
import { escapePointer } from './parse-spec'

const labelName = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/
const MAX_ANNOTATIONS = 256 * 1024

type StringMap = Record<string, string>

const parseMap = (
  input: unknown,
  pointer: string,
  checkValue: (value: string) => string | undefined,
): { map: StringMap; errors: FieldError[] } => {
  if (input === undefined || input === null) return { map: {}, errors: [] }
  if (typeof input !== 'object' || Array.isArray(input))
    return { map: {}, errors: [{ pointer, code: 'type', message: 'must be a map of strings' }] }
  const errors: FieldError[] = []
  for (const [key, value] of Object.entries(input)) {
    const at = `${pointer}/${escapePointer(key)}`
    if (!labelName.test(key))
      errors.push({ pointer: at, code: 'key', message: 'the key must look like "team" or "example.com/team"' })
    if (typeof value !== 'string') errors.push({ pointer: at, code: 'type', message: 'must be a string; quote it' })
    else {
      const wrong = checkValue(value)
      if (wrong !== undefined) errors.push({ pointer: at, code: 'value', message: wrong })
    }
  }
  return { map: input as StringMap, errors }
}

/** Labels as Kubernetes writes them: keys with an optional prefix, values of at most 63 characters. */
export const parseLabels = (input: unknown, pointer: string) =>
  parseMap(input, pointer, (value) =>
    labelValue.test(value)
      ? undefined
      : 'must be at most 63 letters, digits, "-", "_" or ".", starting and ending with a letter or digit',
  )

/** Annotations: any text, 256 KiB in all. */
export const parseAnnotations = (input: unknown, pointer: string) => {
  const parsed = parseMap(input, pointer, (value) => (value.includes('\0') ? 'must not contain NUL' : undefined))
  if (JSON.stringify(parsed.map).length > MAX_ANNOTATIONS)
    parsed.errors.push({ pointer, code: 'size', message: 'must not exceed 256 KiB in all' })
  return parsed
}
