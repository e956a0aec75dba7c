import { readFileSync } from 'node:fs'
import { usage } from './errors'

const causes: Record<string, string> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EACCES: 'may not be read by this user',
  EPERM: 'may not be read by this user',
  EISDIR: 'is a directory',
}

// Not `instanceof Error`: an error of node's own may come from another realm, as it does under jest.
const read = (error: unknown, field: 'code' | 'message'): string => String(Reflect.get(error as object, field))

/** The text of a file that a flag names. Throws a usage error with flag, file and cause, and with `next`: what to do about it. */
export const readLocalFile = (file: string, flag: string, next: string): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const cause = causes[read(error, 'code')] ?? `cannot be read: ${read(error, 'message')}`
    throw usage(`${flag}: "${file}" ${cause}`, next)
  }
}
