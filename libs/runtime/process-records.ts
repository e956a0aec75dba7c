import { mkdirSync } from 'node:fs'
import { readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProcessIdentity } from './process-table'
import { findByEnv, isAlive, signal, startOf } from './process-table'

const termMs = 2_000
const killMs = 5_000

interface ProcessRecord {
  storeId: string
  instanceUid: string
  /** First process of the unit; its id is the group's. */
  leader: ProcessIdentity
  /** The daemon that started it. A unit whose owner lives is not ours to end. */
  owner: ProcessIdentity
}

/** Variables that every process of a unit inherits, so that it is found even when no record of it was written. */
const marks = { store: 'MCPCTL_STORE', instance: 'MCPCTL_INSTANCE', owner: 'MCPCTL_OWNER' }

const parseOwner = (text: string | undefined): ProcessIdentity | undefined => {
  const at = text?.indexOf('@') ?? -1
  return text === undefined || at < 0 ? undefined : { pid: Number(text.slice(0, at)), start: text.slice(at + 1) }
}

/** Remembers which processes run for a store, so that those whose daemon was killed can be ended, and no others. */
export class ProcessRecords {
  #owner: Promise<ProcessIdentity> | undefined

  constructor(
    private readonly directory: string,
    private readonly storeId: string,
  ) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }

  async marksFor(instanceUid: string): Promise<Record<string, string>> {
    const { pid, start } = await this.#self()
    return { [marks.store]: this.storeId, [marks.instance]: instanceUid, [marks.owner]: `${String(pid)}@${start}` }
  }

  /** Written whole or not at all. A process that has ended meanwhile needs none. */
  async write(instanceUid: string, pid: number): Promise<void> {
    const start = await startOf(pid)
    if (start === undefined) return
    const record: ProcessRecord = {
      storeId: this.storeId,
      instanceUid,
      leader: { pid, start },
      owner: await this.#self(),
    }
    const file = this.#file(instanceUid)
    await writeFile(`${file}.new`, JSON.stringify(record), { mode: 0o600 })
    await rename(`${file}.new`, file)
  }

  async remove(instanceUid: string): Promise<void> {
    await rm(this.#file(instanceUid), { force: true })
  }

  /** Ends what daemons that are gone have left running for this store. Answers with the instances concerned. */
  async reap(): Promise<string[]> {
    const records = await this.#orphans()
    const leaders = await filterAsync(records, ({ leader }) => isAlive(leader))
    const marked = await filterAsync(await findByEnv({ [marks.store]: this.storeId }), async ({ pid, env }) => {
      const owner = parseOwner(env.get(marks.owner))
      return pid !== process.pid && owner !== undefined && !(await isAlive(owner))
    })
    await endProcesses([...leaders.map(({ leader }) => -leader.pid), ...marked.map(({ pid }) => pid)])
    const uids = [
      ...records.map((record) => record.instanceUid),
      ...marked.map(({ env }) => env.get(marks.instance) ?? ''),
    ]
    await Promise.all(records.map((record) => this.remove(record.instanceUid)))
    return [...new Set(uids)].filter((uid) => uid !== '')
  }

  /** Ends whatever of a unit of this daemon has left its process group; another daemon on this host may run its own copy. */
  async endStragglers(instanceUid: string): Promise<void> {
    const found = await findByEnv(await this.marksFor(instanceUid))
    for (const { pid } of found) signal(pid, 'SIGKILL')
  }

  async #orphans(): Promise<ProcessRecord[]> {
    const files = (await readdir(this.directory)).filter((file) => file.endsWith('.json'))
    const records = await Promise.all(files.map((file) => readRecord(join(this.directory, file))))
    const ours = records.filter((record) => record?.storeId === this.storeId).filter((record) => record !== undefined)
    return filterAsync(ours, async ({ owner }) => !(await isAlive(owner)))
  }

  #file(instanceUid: string): string {
    return join(this.directory, `${instanceUid}.json`)
  }

  #self(): Promise<ProcessIdentity> {
    this.#owner ??= startOf(process.pid).then((start) => ({ pid: process.pid, start: start ?? '' }))
    return this.#owner
  }
}

const readRecord = async (file: string): Promise<ProcessRecord | undefined> => {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as ProcessRecord
  } catch {
    // Gone meanwhile, or torn by a crash; the marks find its process all the same.
    return undefined
  }
}

const filterAsync = async <T>(items: T[], test: (item: T) => Promise<boolean>): Promise<T[]> => {
  const verdicts = await Promise.all(items.map(test))
  return items.filter((_, index) => verdicts[index])
}

const endProcesses = async (targets: number[]): Promise<void> => {
  if (targets.length === 0) return
  for (const target of targets) signal(target, 'SIGTERM')
  if (await areGone(targets, termMs)) return
  for (const target of targets) signal(target, 'SIGKILL')
  await areGone(targets, killMs)
}

const areGone = async (targets: number[], withinMs: number): Promise<boolean> => {
  const deadline = performance.now() + withinMs
  for (;;) {
    // A group's leader stands for it: members that outlive it carry the marks and are targets themselves.
    const left = await filterAsync(targets, async (target) => (await startOf(Math.abs(target))) !== undefined)
    if (left.length === 0) return true
    if (performance.now() > deadline) return false
    await sleep(50)
  }
}
