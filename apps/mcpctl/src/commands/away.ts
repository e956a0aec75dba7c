import { ConnectionError } from '@mcpctl/client'
import { isReason } from '../errors'
import type { Progress } from '../output/progress'
import type { Session } from '../session'

export const pollMs = 300
/** A daemon that is started anew in between is waited for so long. */
const awayMs = 30_000

export const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

/** What is asked of the daemon; one that is away is waited for a while, and `what` is said meanwhile. */
export const askPatiently = async <T>(
  session: Session,
  progress: Progress,
  what: string,
  ask: () => Promise<T>,
): Promise<T> => {
  const deadline = performance.now() + awayMs
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const isAway = error instanceof ConnectionError || isReason(error, 'Unavailable')
      if (!isAway || performance.now() > deadline) throw error
      progress.update(`${what}: the daemon is away`)
      await pause(pollMs)
      session.reconnect()
    }
  }
}
