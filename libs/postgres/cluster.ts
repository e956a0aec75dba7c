import { randomBytes, randomUUID } from 'node:crypto'
import { chmod, chown, mkdir, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canEnter, runAs, unprivilegedAccount, type Account } from './account'
import { findBinaries } from './binaries'

/** The superuser of an embedded cluster and its database. */
export const clusterUser = 'mcpctl'

/** Where root's clusters and binaries go when the chosen directory is out of the unprivileged user's reach. */
const sharedDirectory = '/var/lib/mcpctl'

/** A PostgreSQL data directory with what it takes to run it. */
export interface Cluster {
  /** PGDATA, with symbolic links resolved. */
  directory: string
  binaries: string
  account: Account | undefined
  password: string
  logFile: string
}

const exists = async (path: string) => (await stat(path).catch(() => undefined)) !== undefined

/**
 * The directory that holds PGDATA, password and log. Usually the data directory itself; a data directory below /root
 * gets one elsewhere and remembers it in a file, so that deleting the data directory also forgets the old cluster.
 */
const homeOf = async (dataDirectory: string, account: Account | undefined): Promise<string> => {
  const pointer = join(dataDirectory, 'location')
  const remembered = await readFile(pointer, 'utf8').catch(() => '')
  if (remembered !== '') return remembered.trim()
  // The directory itself must let the account pass; what it holds is protected file by file.
  if (account) await chmod(dataDirectory, 0o711)
  if (await canEnter(account, dataDirectory)) return dataDirectory
  const home = join(sharedDirectory, `data-${randomUUID()}`)
  await mkdir(home, { recursive: true, mode: 0o711 })
  if (!(await canEnter(account, home))) {
    throw new Error(
      `neither "${dataDirectory}" nor "${home}" can be reached by an unprivileged user; choose another one`,
    )
  }
  await writeFile(pointer, `${home}\n`, { mode: 0o600 })
  return home
}

const give = async (path: string, account: Account | undefined) => {
  if (account) await chown(path, account.uid, account.gid)
}

const ensurePassword = async (file: string, account: Account | undefined): Promise<string> => {
  const known = await readFile(file, 'utf8').catch(() => '')
  if (known.trim() !== '') return known.trim()
  const password = randomBytes(24).toString('base64url')
  await writeFile(file, `${password}\n`, { mode: 0o600 })
  await give(file, account)
  return password
}

/** Made aside and renamed, so that a killed initdb leaves nothing that looks like a cluster. */
const initialise = async (home: string, cluster: Omit<Cluster, 'directory'>) => {
  const draft = join(home, `draft-${randomUUID()}`)
  await mkdir(draft, { mode: 0o700 })
  await give(draft, cluster.account)
  const options = {
    '--pgdata': draft,
    '--username': clusterUser,
    '--pwfile': join(home, 'password'),
    '--auth': 'scram-sha-256',
    '--encoding': 'UTF8',
    // The built-in provider sorts alike on every platform; C.UTF-8 of the C library does not exist everywhere.
    '--locale-provider': 'builtin',
    '--builtin-locale': 'C.UTF-8',
    '--locale': 'C',
  }
  const args = [...Object.entries(options).map(([name, value]) => `${name}=${value}`), '--no-instructions']
  await runAs(cluster.account, join(cluster.binaries, 'initdb'), args, draft)
  await rename(draft, join(home, 'pgdata'))
}

const ownerOf = async (directory: string, dataDirectory: string): Promise<Account | undefined> => {
  const { uid, gid } = await stat(directory)
  const self = process.getuid?.()
  if (self === undefined || self === uid) return undefined
  if (self === 0) return { uid, gid }
  throw new Error(`data directory "${dataDirectory}" belongs to user ${uid}; run as that user or choose another one`)
}

/** Opens the cluster of a data directory and makes it when there is none. The caller holds the directory's lock. */
export const openCluster = async (dataDirectory: string): Promise<Cluster> => {
  let account = await unprivilegedAccount()
  const home = await homeOf(dataDirectory, account)
  const pgdata = join(home, 'pgdata')
  const isNew = !(await exists(pgdata))
  if (!isNew) account = await ownerOf(pgdata, dataDirectory)
  else if (account === undefined) await chmod(home, 0o700)
  const passwordFile = join(home, 'password')
  if (!isNew && !(await exists(passwordFile))) {
    throw new Error(`"${passwordFile}" is missing, and with it the password of the database beside it; put it back`)
  }
  const copies = process.getuid?.() === 0 ? sharedDirectory : home
  const binaries = await findBinaries(account, copies)
  const password = await ensurePassword(passwordFile, account)
  const cluster = { binaries, account, password, logFile: join(home, 'postgres.log') }
  for (const name of await readdir(home)) {
    if (name.startsWith('draft-')) await rm(join(home, name), { recursive: true, force: true })
  }
  if (isNew) await initialise(home, cluster)
  return { ...cluster, directory: await realpath(pgdata) }
}
