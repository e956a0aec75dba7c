import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { daemonFile } from '@mcpctl/client/paths'

/** What a running daemon has written about itself. */
export interface DaemonRecord {
  pid: number
  /** `http://127.0.0.1:7777`. */
  address: string
  startedAt: string
  version: string
}

const isRecord = (value: unknown): value is DaemonRecord =>
  typeof value === 'object' &&
  value !== null &&
  Number.isInteger(Reflect.get(value, 'pid')) &&
  typeof Reflect.get(value, 'address') === 'string'

const readRecord = async (directory: string): Promise<DaemonRecord | undefined> => {
  try {
    const value: unknown = JSON.parse(await readFile(daemonFile(directory), 'utf8'))
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Whether a process of that number exists, be it ours or another user's. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return typeof error === 'object' && error !== null && Reflect.get(error, 'code') === 'EPERM'
  }
}

const isZombie = async (pid: number): Promise<boolean> => {
  try {
    const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')
  } catch {
    return false
  }
}

const commandLine = async (pid: number): Promise<string> => {
  try {
    return (await readFile(`/proc/${String(pid)}/cmdline`, 'utf8')).replaceAll('\0', ' ')
  } catch {
    const { stdout } = await promisify(execFile)('ps', ['-p', String(pid), '-o', 'command=']).catch(() => ({
      stdout: '',
    }))
    return stdout
  }
}

/** Process numbers come back: after a crash the recorded one may be somebody else's by now. */
const isDaemon = async (pid: number): Promise<boolean> =>
  isAlive(pid) && !(await isZombie(pid)) && /mcpd(\/main)?(\.[cm]?js)?(\s|$)/.test(await commandLine(pid))

/** The daemon that runs on this data directory, or undefined. */
export const findDaemon = async (directory: string): Promise<DaemonRecord | undefined> => {
  const record = await readRecord(directory)
  return record && (await isDaemon(record.pid)) ? record : undefined
}

/** Whether the process has ended; one that nobody has reaped yet has. */
export const hasEnded = async (pid: number): Promise<boolean> => !isAlive(pid) || (await isZombie(pid))
