import { randomUUID } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { CliError, exit } from '../errors'

const codeOf = (error: unknown): string => String(Reflect.get(error as object, 'code'))

const causes: Record<string, string> = {
  EACCES: 'this user may not do that',
  EPERM: 'this user may not do that',
  EROFS: 'the disk is read-only',
  ENOSPC: 'the disk is full',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is no directory',
}

/** A client's own file, and beside it what it was before it was changed for the first time. */
export class ConfigFile {
  constructor(readonly path: string) {}

  get backupPath(): string {
    return `${this.path}.before-mcpctl`
  }

  /** Undefined when there is none. */
  read(): string | undefined {
    return this.readAt(this.path)
  }

  backup(): string | undefined {
    return this.readAt(this.backupPath)
  }

  /** Keeps what stood there before the first change, or that there was nothing; answers whether something was kept now. */
  keep(): boolean {
    if (this.backup() !== undefined) return false
    const text = this.read()
    this.write(text ?? '', this.backupPath)
    return text !== undefined
  }

  /** Puts back what was kept, to the byte. */
  restore(): void {
    const text = this.backup() ?? ''
    if (text === '') rmSync(this.path, { force: true })
    else this.write(text)
    rmSync(this.backupPath, { force: true })
  }

  /** Whole or not at all, with the mode that the file has; a link to it stays one. */
  write(text: string, path = this.path): void {
    this.doing('write', () => {
      mkdirSync(dirname(path), { recursive: true })
      const target = realOf(path)
      const mode = modeOf(this.path)
      const next = `${target}.${randomUUID()}`
      try {
        writeFileSync(next, text, { mode, flag: 'wx' })
        chmodSync(next, mode)
        renameSync(next, target)
      } finally {
        rmSync(next, { force: true })
      }
    })
  }

  private readAt(path: string): string | undefined {
    return this.doing('read', () => {
      try {
        return readFileSync(path, 'utf8')
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined
        throw error
      }
    })
  }

  private doing<T>(what: 'read' | 'write', act: () => T): T {
    try {
      return act()
    } catch (error) {
      const code = codeOf(error)
      throw new CliError(exit.usage, `cannot ${what} "${this.path}": ${causes[code] ?? code}`)
    }
  }
}

const realOf = (path: string): string => {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** Of a new file: for its owner alone, as values may be put into it by hand. */
const modeOf = (path: string): number => {
  try {
    return statSync(path).mode & 0o777
  } catch {
    return 0o600
  }
}
