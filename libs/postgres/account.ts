import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A system user that runs PostgreSQL for us, because PostgreSQL refuses to run as root. */
export interface Account {
  uid: number
  gid: number
}

const systemPath = () => ({ ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin` })

const find = async (name: string): Promise<Account | undefined> => {
  try {
    const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => run('id', [flag, name], { env: systemPath() })))
    return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) }
  } catch {
    return undefined
  }
}

const create = async (name: string): Promise<Account | undefined> => {
  const options = [
    '--system',
    '--user-group',
    '--no-create-home',
    '--home-dir',
    '/nonexistent',
    '--shell',
    '/bin/false',
  ]
  // Fails where the command is missing, and when another process was first: looking again answers both.
  await run('useradd', [...options, name], { env: systemPath() }).catch(() => undefined)
  return find(name)
}

/** The unprivileged user for PostgreSQL; undefined when this process is not root and needs none. */
export const unprivilegedAccount = async (): Promise<Account | undefined> => {
  if (process.getuid?.() !== 0) return undefined
  const account =
    (await find('mcpctl')) ?? (await create('mcpctl')) ?? (await find('postgres')) ?? (await find('nobody'))
  if (account && account.uid !== 0) return account
  throw new Error(
    'PostgreSQL cannot run as root and no other user exists; create a user called mcpctl, or set DATABASE_URL',
  )
}

/** Runs a command as the account and waits for it. Throws with its error output. */
export const runAs = (account: Account | undefined, file: string, args: string[], cwd = '/') =>
  run(file, args, { cwd, ...account, env: plainEnvironment(), maxBuffer: 16 * 1024 * 1024 })

/** What PostgreSQL's programs may see of our environment: neither secrets nor PG* variables that would steer them. */
export const plainEnvironment = (): NodeJS.ProcessEnv => ({
  PATH: systemPath().PATH,
  LC_ALL: 'C',
  ...(process.env.TZ === undefined ? {} : { TZ: process.env.TZ }),
})

/** Whether the account can enter a directory, parents included. */
export const canEnter = async (account: Account | undefined, directory: string): Promise<boolean> => {
  try {
    await runAs(account, '/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory])
    return true
  } catch {
    return false
  }
}
