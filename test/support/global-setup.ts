import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { bundle as bundleFile } from './bundle'

declare global {
  var testServer: { child: ChildProcess; bundle: string } | undefined
}

/** Starts one PostgreSQL for all test files; `testDatabase()` finds it through the environment. */
export default async (): Promise<void> => {
  const root = process.cwd()
  // Jest loads this file without the tests' module mapping, so what needs the libs runs as a process of its own.
  const bundle = await bundleFile('test/support/server.ts', 'test-server')
  const child = spawn(process.execPath, [bundle, join(root, 'migrations')], { stdio: ['pipe', 'pipe', 'inherit'] })
  globalThis.testServer = { child, bundle }
  const lines = createInterface({ input: child.stdout })
  const line = await Promise.race([
    once(lines, 'line').then(([text]) => String(text)),
    once(child, 'exit').then(() => undefined),
  ])
  if (line === undefined) {
    await rm(bundle, { force: true })
    throw new Error('the PostgreSQL server for the tests did not start; its messages are above')
  }
  process.env.MCPCTL_TEST_SERVER = line
}
