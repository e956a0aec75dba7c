import { execFile } from 'node:child_process'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The code of a system error, for example `ENOENT`. */
export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

const linuxStat = async (pid: number) => {
  const [stat, boot] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8'),
    readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
  ])
  // The second field is the command in parentheses and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { zombie: fields[0] === 'Z' || fields[0] === 'X', born: `${boot.trim()} ${fields[19] ?? ''}` }
}

const otherStat = async (pid: number) => {
  const { stdout } = await run('ps', ['-o', 'state=,lstart=', '-p', String(pid)])
  const [state = '', ...born] = stdout.trim().split(/\s+/)
  return { zombie: state.startsWith('Z'), born: born.join(' ') }
}

/** Tells a process from any other that ever had its pid; undefined when it is gone or a zombie. */
export const birthOf = async (pid: number): Promise<string | undefined> => {
  try {
    const { zombie, born } = await (process.platform === 'linux' ? linuxStat(pid) : otherStat(pid))
    return zombie ? undefined : born
  } catch {
    return undefined
  }
}

/** Waits until the process is gone; false when the deadline passes first. */
export const waitForExit = async (pid: number, milliseconds: number): Promise<boolean> => {
  const deadline = performance.now() + milliseconds
  while ((await birthOf(pid)) !== undefined) {
    if (performance.now() > deadline) return false
    await sleep(50)
  }
  return true
}

/** Sends a signal; a process that is gone already is no error. */
export const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error
  }
}

const commandOf = async (pid: number): Promise<{ program: string; line: string }> => {
  if (process.platform === 'linux') {
    const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
    return { program: basename(args[0] ?? ''), line: args.join(' ') }
  }
  const [program, line] = await Promise.all(
    ['comm=', 'args='].map(async (column) => (await run('ps', ['-o', column, '-p', String(pid)])).stdout.trim()),
  )
  return { program: basename(program ?? ''), line: `${line ?? ''} ` }
}

/**
 * Whether a process may be the PostgreSQL server of this data directory. Read from its command line, which everybody may
 * see; in a container not even root sees another user's working directory.
 */
export const mayServe = async (pid: number, directory: string): Promise<boolean> => {
  const { program, line } = await commandOf(pid).catch(() => ({ program: '', line: '' }))
  return program === 'postgres' && (line.includes(` -D ${directory} `) || !line.includes(' -D '))
}

const worksIn = (pid: string, directory: string) =>
  readlink(`/proc/${pid}/cwd`).then(
    (place) => place === directory,
    () => false,
  )

/** Processes whose working directory is this one, as far as the system tells. */
export const processesIn = async (directory: string): Promise<number[]> => {
  if (process.platform !== 'linux') return []
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))
  const inside = await Promise.all(pids.map((pid) => worksIn(pid, directory)))
  return pids.filter((_, index) => inside[index]).map(Number)
}
