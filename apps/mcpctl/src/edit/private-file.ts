import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { Io } from '../io'

const isOwnDirectory = (path: string): boolean => {
  try {
    const found = statSync(path)
    return found.isDirectory() && found.uid === process.getuid?.()
  } catch {
    return false
  }
}

/** `$XDG_RUNTIME_DIR` is in memory and the user's own; where there is none, wherever temporary files go. */
const baseFor = ({ env }: Io): string => {
  const runtime = env['XDG_RUNTIME_DIR']
  return runtime && isOwnDirectory(runtime) ? runtime : (env['TMPDIR'] ?? tmpdir())
}

const files = (directory: string): string[] => {
  try {
    return readdirSync(directory)
      .map((name) => join(directory, name))
      .filter((path) => lstatSync(path).isFile())
  } catch {
    return []
  }
}

/** A file that only its owner can read, in a directory of its own, so that what an editor leaves beside it is as private. */
export class PrivateFile {
  private constructor(readonly path: string) {}

  /** Throws what node throws. */
  static create(io: Io, name: string): PrivateFile {
    const directory = mkdtempSync(join(baseFor(io), 'mcpctl-edit-'))
    chmodSync(directory, 0o700)
    return new PrivateFile(join(directory, name))
  }

  get name(): string {
    return basename(this.path)
  }

  /** Replaces what is there, if it is still a file: a link that took its place is not followed. */
  write(text: string): void {
    rmSync(this.path, { force: true })
    writeFileSync(this.path, text, { mode: 0o600, flag: 'wx' })
  }

  /** What stands in the file; an editor that removed it has emptied it. */
  read(): string {
    try {
      return readFileSync(this.path, 'utf8')
    } catch {
      return ''
    }
  }

  /** Leaves the file for the user, and nothing beside it. Some editors write a new file, with another mode. */
  keep(): string {
    for (const path of files(dirname(this.path))) if (path !== this.path) erase(path)
    chmodSync(this.path, 0o600)
    return this.path
  }

  /** Overwrites and removes the file and everything beside it. */
  remove(): void {
    const directory = dirname(this.path)
    for (const path of files(directory)) erase(path)
    rmSync(directory, { recursive: true, force: true })
  }
}

const erase = (path: string): void => {
  try {
    writeFileSync(path, Buffer.alloc(statSync(path).size))
  } finally {
    unlinkSync(path)
  }
}
