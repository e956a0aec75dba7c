import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdir, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { KekUnusable, newKek } from './kek-source'
import { KeyFile } from './key-file'

const run = promisify(execFile)

describe('A key file', () => {
  let folder: string
  let path: string

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kek-'))
    path = join(folder, 'kek')
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  const socket = async () => {
    const server = createServer()
    server.listen(path)
    await once(server, 'listening')
    return () => void server.close()
  }

  it.each<[string, () => Promise<unknown>]>([
    ['a pipe that nobody writes into', () => run('mkfifo', ['-m', '600', path])],
    ['a directory', () => mkdir(path, { mode: 0o700 })],
    ['a device', () => symlink('/dev/zero', path)],
    ['a socket', socket],
  ])('is refused when it is %s, at once, with what to do', async (_, make) => {
    const end = await make()
    const refused = await new KeyFile(path).load().catch((error: unknown) => error)
    if (typeof end === 'function') (end as () => void)()
    expect(refused).toBeInstanceOf(KekUnusable)
    expect((refused as KekUnusable).message).toBe(
      `the key file ${path} cannot be used: it is no regular file; put the file back that was made with this store, or give another path (--kek-file)`,
    )
  })

  it("is refused when it is another user's, and says who should own it", async () => {
    await new KeyFile(path).save([newKek()])
    // Only root can give a file away; anybody else is a stranger to this one.
    if (process.getuid?.() === 0) await chown(path, 4711, 4711)
    const { uid } = await stat(path)
    const content = await readFile(path, 'utf8')
    const refused = new KeyFile(path, uid + 1).load()
    await expect(refused).rejects.toThrow(
      `the key file ${path} cannot be used: it belongs to user ${String(uid)}, not to the daemon's (${String(uid + 1)}) or root; run: chown ${String(uid + 1)} ${path}`,
    )
    expect(await readFile(path, 'utf8')).toBe(content)
    expect(await new KeyFile(path, uid).load()).toHaveLength(1)
  })
})
