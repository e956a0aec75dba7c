import { once } from 'node:events'
import { rm } from 'node:fs/promises'

/** Stops the PostgreSQL server of the test run and waits for it. */
export default async (): Promise<void> => {
  const server = globalThis.testServer
  if (!server) return
  const { child, bundle } = server
  if (child.exitCode === null) {
    const exited = once(child, 'exit')
    child.stdin?.end()
    await exited
  }
  await rm(bundle, { force: true })
}
