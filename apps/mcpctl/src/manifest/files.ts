import { readFile, readdir, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { usage } from '../errors'
import type { Io } from '../io'

/** The text of one manifest and how error texts call it. */
export interface Source {
  name: string
  text: string
}

const extensions = new Set(['.yaml', '.yml', '.json'])
const largest = 5 * 1024 * 1024

const codeOf = (error: unknown): unknown =>
  typeof error === 'object' && error !== null ? Reflect.get(error, 'code') : undefined

const unreadable = (path: string, error: unknown) => {
  const code = codeOf(error)
  if (code === 'ENOENT') return usage(`the path "${path}" does not exist`)
  if (code === 'EACCES') return usage(`the path "${path}" cannot be accessed: permission denied`)
  return usage(`cannot read "${path}": ${error instanceof Error ? error.message : String(code)}`)
}

const reading = async <T>(path: string, read: Promise<T>): Promise<T> => {
  try {
    return await read
  } catch (error) {
    throw unreadable(path, error)
  }
}

const filesBelow = async (directory: string, recursive: boolean): Promise<string[]> => {
  const entries = await reading(directory, readdir(directory, { withFileTypes: true }))
  const names = entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  const found: string[] = []
  for (const entry of names) {
    const path = join(directory, entry.name)
    const kind = entry.isSymbolicLink() ? await reading(path, stat(path)) : entry
    if (kind.isFile() && extensions.has(extname(entry.name))) found.push(path)
    // A linked directory may lead round in a circle.
    else if (recursive && entry.isDirectory()) found.push(...(await filesBelow(path, recursive)))
  }
  return found
}

const readSource = async (path: string): Promise<Source> => {
  const bytes = await reading(path, readFile(path))
  if (bytes.length > largest) throw usage(`"${path}" is larger than 5 MiB`)
  return { name: path, text: bytes.toString('utf8') }
}

const readPath = async (path: string, recursive: boolean): Promise<Source[]> => {
  if (/^https?:\/\//.test(path)) throw usage(`-f takes a file, a directory or "-"; download "${path}" first`)
  const found = await reading(path, stat(path))
  if (!found.isDirectory()) return [await readSource(path)]
  const files = await filesBelow(path, recursive)
  if (files.length === 0)
    throw usage(
      `error reading [${path}]: recognized file extensions are [.json .yaml .yml]`,
      recursive ? undefined : 'directories below it are read with -R only',
    )
  return Promise.all(files.map(readSource))
}

/** Reads every file named by `-f`: files, directories and `-` for stdin. Throws usage errors that name the path. */
export const readSources = async (io: Io, paths: readonly string[], recursive: boolean): Promise<Source[]> => {
  const sources: Source[] = []
  for (const path of paths) {
    if (path === '-') sources.push({ name: 'STDIN', text: await io.readInput() })
    else sources.push(...(await readPath(path, recursive)))
  }
  return sources
}
