import { open } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { StartError } from './driver'
import { unscoped } from './package-name'

/** A program that a package brings. */
export interface PackageBin {
  name: string
  /** Relative to the package's own directory. */
  path: string
  /** Whether node runs it; otherwise it is executed itself. */
  isScript: boolean
}

/** The bins of a package.json, whose `bin` is a path or a table. */
export const binsOf = (name: string, bin: unknown): Record<string, string> => {
  if (typeof bin === 'string') return { [unscoped(name)]: bin }
  if (typeof bin !== 'object' || bin === null) return {}
  return Object.fromEntries(
    Object.entries(bin).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

/**
 * Which bin to run: the wanted one, else the only one, else the one named like the package.
 * Throws StartError CreateConfigError naming the bins when that leaves none.
 */
export const chooseBin = (name: string, bins: Record<string, string>, wanted: string | undefined): string => {
  const names = Object.keys(bins)
  const has = (bin: string) => Object.hasOwn(bins, bin)
  if (wanted !== undefined) {
    if (has(wanted)) return wanted
    throw new StartError('CreateConfigError', `package ${name} has no bin "${wanted}"; ${list(names)}`)
  }
  const [only] = names
  if (only !== undefined && names.length === 1) return only
  if (has(unscoped(name))) return unscoped(name)
  throw new StartError(
    'CreateConfigError',
    `package ${name} leaves open what to run: ${list(names)}; name one in command`,
  )
}

const list = (names: string[]) => (names.length === 0 ? 'it has no bins' : `its bins are ${names.join(', ')}`)

const scriptEndings = ['.js', '.mjs', '.cjs']

/** Looks at the file's first line, or at its ending where there is no `#!`. */
export const inspectBin = async (directory: string, name: string, path: string): Promise<PackageBin> => {
  const file = await open(join(directory, path)).catch((cause: unknown) => {
    throw new StartError('CreateConfigError', `bin "${name}" has no file in its package`, { cause })
  })
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(256), 0, 256, 0)
    const [first = ''] = buffer.toString('latin1', 0, bytesRead).split('\n')
    const isScript = first.startsWith('#!') ? /\bnode\b/.test(first) : scriptEndings.includes(extname(path))
    return { name, path, isScript }
  } finally {
    await file.close()
  }
}
