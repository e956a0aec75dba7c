import { chmod, chown, lstat, mkdir, readdir, readFile, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { StartError } from './driver'
import type { ProcessIdentity } from './process-table'
import { isAlive, startOf } from './process-table'

const sharedMemory = '/dev/shm'
/** From linux/magic.h. */
const tmpfsMagic = 0x01021994
/** A directory without an owner's mark holds no value yet; who made it may be about to write the mark. */
const unmarkedMs = 60_000
const mark = 'owner.json'

/** A file with a value of a secret, by its path below the instance's directory. */
export interface PlacedFile {
  at: string
  content: Buffer
}

/** Where values of secrets lie as files: a directory for each instance, by its key, in memory where the system has a place for that. */
export class SecretDirectories {
  #self: Promise<ProcessIdentity> | undefined
  readonly #inMemory: string
  readonly #written = new Set<string>()

  /** `name` is the same for every daemon of a store and driver; `fallback` is used where memory cannot be. */
  constructor(
    name: string,
    private readonly fallback: string,
  ) {
    this.#inMemory = join(sharedMemory, `mcpctl-${String(process.getuid?.() ?? 0)}-${name}`)
  }

  /**
   * Replaces the files of an instance and answers with their directory. Until they are given away, only this process' user can read them.
   * Throws StartError RunContainerError where they cannot be written, for want of space as a rule, and leaves none.
   */
  async write(key: string, files: readonly PlacedFile[]): Promise<string> {
    await this.remove(key)
    try {
      return await this.#write(key, files)
    } catch (error) {
      await this.remove(key)
      throw unwritable(error as NodeJS.ErrnoException)
    }
  }

  async #write(key: string, files: readonly PlacedFile[]): Promise<string> {
    const whole = join(await this.#rooted(), key)
    await mkdir(whole, { mode: 0o700 })
    this.#written.add(key)
    const directory = join(whole, 'files')
    await writeFile(join(whole, mark), JSON.stringify(await this.#owner()), { mode: 0o600 })
    await mkdir(directory, { mode: 0o700 })
    for (const { at, content } of files) {
      await mkdir(dirname(join(directory, at)), { recursive: true, mode: 0o700 })
      await writeFile(join(directory, at), content, { mode: 0o400, flag: 'wx' })
    }
    return directory
  }

  /**
   * Lets a container's user read the files, and nobody else: 0400 and his. Where he is not known, or this process may not give files away, everybody
   * may who can reach them, 0444; outside of the container nobody else can, as the directory above stays closed.
   */
  async give(key: string, reader: number | undefined): Promise<void> {
    const directory = join(await this.#rooted(), key, 'files')
    const all = [{ path: directory, isFile: false }, ...(await below(directory))]
    if (reader !== undefined && (await chownAll(all, reader))) return
    for (const { path, isFile } of all) await chmod(path, isFile ? 0o444 : 0o755)
  }

  /** What the instance's files hold; nothing where it has none. */
  async read(key: string): Promise<Buffer[]> {
    const found = await Promise.all((await this.#places()).map((place) => below(join(place, key, 'files'))))
    const files = found.flat().filter(({ isFile }) => isFile)
    const read = await Promise.all(files.map(({ path }) => readFile(path).catch(() => undefined)))
    return read.filter((content) => content !== undefined)
  }

  async remove(key: string): Promise<void> {
    for (const place of await this.#places())
      await rm(join(place, key), { recursive: true, force: true, maxRetries: 3 })
    this.#written.delete(key)
  }

  /** Removes what killed daemons have left, except what is known. What a living daemon has written is its own to remove. */
  async sweep(known: ReadonlySet<string>): Promise<void> {
    for (const place of await this.#places()) {
      const keys = await readdir(place).catch(() => [])
      const unknown = keys.filter((key) => !known.has(key) && !this.#written.has(key))
      for (const key of unknown) if (await isAbandoned(join(place, key))) await this.remove(key)
    }
  }

  /** Leaves nothing where there is nothing left to keep. */
  async close(): Promise<void> {
    for (const place of await this.#places()) await rmdir(place).catch(() => undefined)
  }

  /** Where there may be something. */
  async #places(): Promise<string[]> {
    return (await isOwn(this.#inMemory)) ? [this.#inMemory, this.fallback] : [this.fallback]
  }

  #owner(): Promise<ProcessIdentity> {
    this.#self ??= startOf(process.pid).then((start) => ({ pid: process.pid, start: start ?? '' }))
    return this.#self
  }

  /** Made anew wherever it is gone: another daemon may have removed it on its way out. */
  async #rooted(): Promise<string> {
    if ((await isInMemory()) && (await makeOwn(this.#inMemory))) return this.#inMemory
    await mkdir(this.fallback, { recursive: true, mode: 0o700 })
    return this.fallback
  }
}

const unwritable = (error: NodeJS.ErrnoException): Error =>
  error.code === undefined
    ? error
    : new StartError('RunContainerError', `the files of its secrets cannot be written: ${error.code}`, { cause: error })

const isInMemory = async (): Promise<boolean> =>
  process.platform === 'linux' && (await statfs(sharedMemory).catch(() => undefined))?.type === tmpfsMagic

/** Whether the directory is there and ours alone: everybody may create names in shared memory, also those that we are about to use. */
const makeOwn = async (directory: string): Promise<boolean> => {
  await mkdir(directory, { mode: 0o700 }).catch(() => undefined)
  return isOwn(directory)
}

const isOwn = async (directory: string): Promise<boolean> => {
  const found = await lstat(directory).catch(() => undefined)
  return found !== undefined && found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0
}

const below = async (directory: string): Promise<{ path: string; isFile: boolean }[]> => {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.map((entry) => ({ path: join(entry.parentPath, entry.name), isFile: entry.isFile() }))
}

/** Whether this process may; only a privileged one may. */
const chownAll = async (all: { path: string }[], reader: number): Promise<boolean> => {
  try {
    for (const { path } of all) await chown(path, reader, process.getgid?.() ?? 0)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error
    return false
  }
}

const isAbandoned = async (directory: string): Promise<boolean> => {
  const text = await readFile(join(directory, mark), 'utf8').catch(() => undefined)
  const owner = text === undefined ? undefined : parseOwner(text)
  if (owner) return !(await isAlive(owner))
  const found = await lstat(directory).catch(() => undefined)
  return found !== undefined && Date.now() - found.mtimeMs > unmarkedMs
}

const parseOwner = (text: string): ProcessIdentity | undefined => {
  try {
    return JSON.parse(text) as ProcessIdentity
  } catch {
    return undefined
  }
}
