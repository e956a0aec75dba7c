import { randomUUID } from 'node:crypto'
import { link, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DomainError } from '@mcpctl/contracts'
import { birthOf, errnoOf } from './processes'

/*
 * One file per holder, `lock.<n>`; the highest n decides. It holds the owner's pid and birth, or nothing once released.
 * A new owner may take n + 1 only when the owner of n is dead or has let go, and link() lets exactly one succeed.
 * The highest file is never removed: numbers only grow, so whoever decided on an old n finds n + 1 taken.
 */
const lockFile = /^lock\.(\d+)$/

const highest = async (directory: string) => {
  const numbers = (await readdir(directory)).flatMap((name) => lockFile.exec(name)?.[1] ?? []).map(Number)
  return Math.max(0, ...numbers)
}

const livingOwner = async (file: string): Promise<number | undefined> => {
  const [pid = '', birth = ''] = (await readFile(file, 'utf8').catch(() => '')).split('\n')
  if (pid === '') return undefined
  return (await birthOf(Number(pid))) === birth ? Number(pid) : undefined
}

const removeBelow = async (directory: string, number: number) => {
  for (const name of await readdir(directory)) {
    const match = lockFile.exec(name)
    if (match && Number(match[1]) < number) await rm(join(directory, name), { force: true })
  }
}

/** Locks a directory for this process until it releases or dies. Throws `Conflict` naming the process that has it. */
export const lockDirectory = async (directory: string): Promise<{ release(): Promise<void> }> => {
  const mine = join(directory, `.lock-${randomUUID()}`)
  await writeFile(mine, `${process.pid}\n${(await birthOf(process.pid)) ?? ''}\n`, { mode: 0o600 })
  try {
    for (;;) {
      const number = await highest(directory)
      const owner = number === 0 ? undefined : await livingOwner(join(directory, `lock.${number}`))
      if (owner !== undefined) {
        const message = `data directory "${directory}" is in use by process ${owner}; stop it or choose another one`
        throw new DomainError('Conflict', message)
      }
      const file = join(directory, `lock.${number + 1}`)
      try {
        await link(mine, file)
      } catch (error) {
        if (errnoOf(error) === 'EEXIST') continue
        throw error
      }
      await removeBelow(directory, number + 1)
      // Shares its content with `mine` until that name is removed below; released by emptying it.
      return { release: () => truncate(file).catch(() => undefined) }
    }
  } finally {
    await rm(mine, { force: true })
  }
}
