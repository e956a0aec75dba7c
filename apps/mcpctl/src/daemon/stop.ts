import { CliError, exit } from '../errors'
import { hasEnded } from './record'
import type { DaemonRecord } from './record'

const pollMs = 100

/** Asks the process to end. Throws when the operating system refuses. */
export const terminate = ({ pid }: DaemonRecord): void => {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    const code: unknown = Reflect.get(error as object, 'code')
    if (code === 'ESRCH') return
    if (code === 'EPERM') throw new CliError(exit.forbidden, `mcpd (pid ${String(pid)}) belongs to another user`)
    throw error
  }
}

/** Waits until the process is gone. Throws (exit 8) when it stays. */
export const waitUntilEnded = async ({ pid }: DaemonRecord, timeoutMs: number): Promise<void> => {
  const deadline = performance.now() + timeoutMs
  while (!(await hasEnded(pid))) {
    if (performance.now() > deadline)
      throw new CliError(
        exit.timeout,
        `timed out waiting for mcpd (pid ${String(pid)}) to end; it may still be draining`,
      )
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}
