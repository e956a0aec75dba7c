import { execFile } from 'node:child_process'
import { readFile, readdir } from 'node:fs/promises'
import { promisify } from 'node:util'

/** A process beyond doubt: ids are reused, an id together with its start is not. */
export interface ProcessIdentity {
  pid: number
  /** Boot and clock ticks on Linux, the start as `ps` words it elsewhere. */
  start: string
}

const isLinux = process.platform === 'linux'

const bootId = async (): Promise<string> =>
  (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim()

/** When a living process started; undefined when there is none, or only its zombie. */
export const startOf = async (pid: number): Promise<string | undefined> => {
  if (!isLinux) return startByPs(pid)
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => undefined)
  if (stat === undefined) return undefined
  // The command stands in parentheses and may itself hold some, so count from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, ticks] = [fields[0], fields[19]]
  return state === 'Z' || state === 'X' ? undefined : `${await bootId()}:${ticks ?? ''}`
}

const startByPs = async (pid: number): Promise<string | undefined> => {
  const found = await promisify(execFile)('ps', ['-o', 'stat=,lstart=', '-p', String(pid)]).catch(() => undefined)
  const line = found?.stdout.trim() ?? ''
  return line === '' || line.startsWith('Z') ? undefined : line.slice(line.indexOf(' ')).trim()
}

export const isAlive = async ({ pid, start }: ProcessIdentity): Promise<boolean> => (await startOf(pid)) === start

/** Living processes that were started with all these variables. Only Linux can tell; elsewhere none. */
export const findByEnv = async (
  wanted: Record<string, string>,
): Promise<{ pid: number; env: Map<string, string> }[]> => {
  if (!isLinux) return []
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(
    pids.map(async (pid) => ({
      pid,
      env: parseEnv(await readFile(`/proc/${String(pid)}/environ`, 'utf8').catch(() => '')),
    })),
  )
  return found.filter(({ env }) => Object.entries(wanted).every(([name, value]) => env.get(name) === value))
}

const parseEnv = (text: string) =>
  new Map(
    text.split('\0').map((entry): [string, string] => {
      const at = entry.indexOf('=')
      return [entry.slice(0, at), entry.slice(at + 1)]
    }),
  )

/** Sends a signal to a process or, with a negative id, to a group. One that is gone already is no error. */
export const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
