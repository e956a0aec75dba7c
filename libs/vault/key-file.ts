import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { constants, link, mkdir, open, readdir, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { kekOf, KekUnusable, type Kek, type KekSource } from './kek-source'

const format = 'mcpctl-kek/1'
const maxBytes = 64 * 1024
const othersMayRead = 0o077
const irregular =
  'it is no regular file; put the file back that was made with this store, or give another path (--kek-file)'
/** No draft is written for so long: its writer was killed. */
const abandonedMs = 60_000

interface KeyFileContent {
  format: typeof format
  keys: { id: string; key: string; createdAt: string }[]
}

/** Key-encryption keys in a file that only its owner may read, and which is the daemon's or root's. */
export class KeyFile implements KekSource {
  /** `user`: the number of the user whose file it is, this process's unless told; whoever else has written it knows the keys. */
  constructor(
    private readonly path: string,
    private readonly user = process.getuid?.(),
  ) {}

  get place(): string {
    return this.path
  }

  async load(): Promise<Kek[] | undefined> {
    const text = await this.read()
    return text === undefined ? undefined : this.parse(text)
  }

  async create(keys: readonly Kek[]): Promise<boolean> {
    try {
      await this.put(keys, link)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw this.unwritable(error)
    }
  }

  /** Replaces the file as a whole: whoever reads finds the old keys or the new ones, also after a crash. */
  async save(keys: readonly Kek[]): Promise<void> {
    try {
      await this.put(keys, rename)
    } catch (error) {
      throw this.unwritable(error)
    }
  }

  /** Writes the keys aside, has them put in place, and waits for the disk. */
  private async put(keys: readonly Kek[], place: (draft: string, path: string) => Promise<void>): Promise<void> {
    const content: KeyFileContent = {
      format,
      keys: keys.map(({ id, key, createdAt }) => ({ id, key: key.export().toString('base64'), createdAt })),
    }
    // Behind a symbolic link: the file itself, not the link, is replaced.
    const path = await realpath(this.path).catch(() => this.path)
    const folder = dirname(path)
    const draft = join(folder, `.kek-${randomBytes(6).toString('hex')}`)
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await write(draft, `${JSON.stringify(content, null, 2)}\n`)
      await place(draft, path)
      await sweep(folder)
      await sync(folder)
    } finally {
      await rm(draft, { force: true })
    }
  }

  private async read(): Promise<string | undefined> {
    let file: FileHandle | undefined
    try {
      // Opening a pipe would wait for somebody who writes into it.
      file = await open(this.path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
      const found = await file.stat()
      if (!found.isFile()) throw this.unusable(irregular)
      this.refuseStrange(found)
      this.refuseOpenToOthers(found.mode)
      const { size } = found
      if (size > maxBytes) throw this.unusable(`it has ${String(size)} bytes, which is no key file`)
      return await file.readFile('utf8')
    } catch (error) {
      if (error instanceof KekUnusable) throw error
      const { code, message } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return undefined
      // What sockets and devices without a driver answer to being opened.
      throw this.unusable(code === 'ENXIO' ? irregular : message)
    } finally {
      await file?.close()
    }
  }

  private refuseStrange({ uid }: Stats): void {
    if (this.user === undefined || uid === this.user || uid === 0) return
    const [owner, user] = [String(uid), String(this.user)]
    throw this.unusable(
      `it belongs to user ${owner}, not to the daemon's (${user}) or root; run: chown ${user} ${this.path}`,
    )
  }

  private refuseOpenToOthers(mode: number): void {
    if ((mode & othersMayRead) === 0) return
    const found = (mode & 0o777).toString(8).padStart(4, '0')
    throw this.unusable(`others may read it (mode ${found}); run: chmod 600 ${this.path}`)
  }

  private parse(text: string): Kek[] {
    const content = json(text) as Partial<KeyFileContent> | undefined
    if (content?.format !== format || !Array.isArray(content.keys) || content.keys.length === 0)
      throw this.unusable(`it is no key file of the format ${format}`)
    return content.keys.map((entry: Partial<KeyFileContent['keys'][number]> | null) => {
      const key = typeof entry?.key === 'string' ? Buffer.from(entry.key, 'base64') : undefined
      if (key?.length !== 32) throw this.unusable('a key in it does not have 32 bytes')
      const kek = kekOf(key, typeof entry?.createdAt === 'string' ? entry.createdAt : '')
      if (entry?.id !== kek.id) throw this.unusable('a key in it does not have the id that it should have')
      return kek
    })
  }

  private unwritable(error: unknown): KekUnusable {
    return new KekUnusable(`the key file ${this.path} cannot be written: ${(error as Error).message}`)
  }

  private unusable(why: string): KekUnusable {
    return new KekUnusable(`the key file ${this.path} cannot be used: ${why}`)
  }
}

/** Undefined for what is no JSON: the parser's own words would show a part of it. */
const json = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Drafts that were never put in place hold keys. */
const sweep = async (folder: string): Promise<void> => {
  for (const name of await readdir(folder)) {
    if (!/^\.kek-[0-9a-f]{12}$/.test(name)) continue
    const draft = join(folder, name)
    const found = await stat(draft).catch(() => undefined)
    if (found && Date.now() - found.mtimeMs > abandonedMs) await rm(draft, { force: true })
  }
}

const write = async (path: string, text: string): Promise<void> => {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

const sync = async (folder: string): Promise<void> => {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
