import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { unsupportedByDocker } from './docker-fields'
import { template } from './driver.contract'
import { SecretDirectories } from './secret-directories'

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)

describe('directories of secrets', () => {
  let directory: string
  let name: string
  const root = () => `/dev/shm/mcpctl-${String(process.getuid?.())}-${name}`
  const fallback = () => join(directory, 'secrets')
  const open = () => new SecretDirectories(name, fallback())
  const files = [{ at: 'run/pem', content: Buffer.from('value') }]

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'secret-directories-'))
    name = `test-${randomUUID()}`
  })
  afterEach(async () => {
    for (const path of [directory, root()]) await rm(path, { recursive: true, force: true })
  })

  it('are closed to all others, also where a file is for a user that is not known', async () => {
    const directories = open()
    const at = await directories.write('a', files)
    expect(at).toBe(join(root(), 'a', 'files'))
    expect(await modeOf(join(at, 'run/pem'))).toBe('400')
    await directories.give('a', undefined)
    expect(await modeOf(join(at, 'run/pem'))).toBe('444')
    expect([await modeOf(dirname(at)), await modeOf(root())]).toEqual(['700', '700'])
    expect(await directories.read('a')).toEqual([Buffer.from('value')])
    await directories.remove('a')
    await directories.close()
    await expect(stat(root())).rejects.toThrow(/ENOENT/)
  })

  it.each<[string, (mine: string) => Promise<unknown>]>([
    [
      'is open to others',
      async (mine) => {
        await mkdir(mine)
        await chmod(mine, 0o777)
      },
    ],
    ['is a link', (mine) => symlink(tmpdir(), mine)],
    ['is a file', (mine) => writeFile(mine, '')],
  ])('are not made in what somebody else has put in their place: it %s', async (_, make) => {
    await make(root())
    const at = await open().write('a', files)
    expect(at).toBe(join(fallback(), 'a', 'files'))
    expect(await modeOf(fallback())).toBe('700')
  })

  it('replace what was there, and leave nothing of what could not be written whole', async () => {
    const directories = open()
    await directories.write('a', [...files, { at: 'run/other', content: Buffer.from('old') }])
    const at = await directories.write('a', files)
    expect(await readdir(join(at, 'run'))).toEqual(['pem'])
    expect(await readFile(join(at, 'run/pem'), 'utf8')).toBe('value')
    const impossible = [...files, { at: 'run/pem/below', content: Buffer.from('x') }]
    await expect(directories.write('a', impossible)).rejects.toThrow()
    expect(await readdir(root())).toEqual([])
  })

  it('cannot be had where the engine is on another machine', () => {
    const secretFiles = [{ secret: 's', key: 'k', path: '/run/secrets/k', env: 'K_FILE' }]
    const wanted = template({ image: 'a/b:1', secretFiles })
    const pointers = (isLocalLinux: boolean) =>
      unsupportedByDocker(wanted, { isLocalLinux, runsPackages: true }).map(({ pointer }) => pointer)
    expect(pointers(true)).toEqual([])
    expect(pointers(false)).toEqual(['/spec/secretFiles'])
  })
})
