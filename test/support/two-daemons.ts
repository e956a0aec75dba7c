import { EmbeddedPostgres } from '@mcpctl/postgres'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { undo, until } from './binaries'
import { Sandbox, type SandboxOptions } from './mcpd-process'

/** Two daemons on one database; the first leads. */
export interface Pair {
  first: Sandbox
  second: Sandbox
  remove(): Promise<void>
}

export const twoDaemons = async (options: SandboxOptions = {}): Promise<Pair> => {
  const cleanUps: (() => Promise<unknown>)[] = []
  const remove = () => undo(cleanUps)
  const daemon = async (databaseUrl: string) => {
    const sandbox = await Sandbox.create({ ...options, databaseUrl })
    cleanUps.push(() => sandbox.remove())
    await sandbox.start()
    return sandbox
  }
  try {
    const directory = await mkdtemp(join(tmpdir(), 'mcpctl-acceptance-postgres-'))
    cleanUps.push(() => rm(directory, { recursive: true, force: true }))
    // A user without rights, as which PostgreSQL runs under root, must be able to pass.
    await chmod(directory, 0o711)
    const postgres = new EmbeddedPostgres({ dataDirectory: directory })
    cleanUps.push(() => postgres.stop())
    const { url } = await postgres.start()
    const first = await daemon(url)
    await leads(first)
    return { first, second: await daemon(url), remove }
  } catch (error) {
    await remove()
    throw error
  }
}

/** Waits until this daemon is the one that acts. */
export const leads = (sandbox: Sandbox): Promise<true> =>
  until('it leads', async () => {
    const api = sandbox.api(3_000)
    try {
      return (await api.status()).leader.self || undefined
    } finally {
      api.close()
    }
  })
