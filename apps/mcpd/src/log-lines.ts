import type { Logger } from 'pino'

/** Libraries log plain lines. */
export const toLines = (logger: Logger) => ({
  info: (message: string) => {
    logger.info(message)
  },
  warn: (message: string) => {
    logger.warn(message)
  },
  error: (message: string) => {
    logger.error(message)
  },
})
