import { pino, type Logger } from 'pino'

/** Token under which Nest knows the log. */
export const LOGGER = Symbol('Logger')

/** As much of an error as an operator needs. What a driver adds beside that, like the row that PostgreSQL refused, may hold values of env. */
const shownError = (error: unknown) => {
  if (!(error instanceof Error)) return { message: String(error) }
  const { name, message, stack } = error
  const code: unknown = Reflect.get(error, 'code')
  const cause: unknown = error.cause instanceof Error ? error.cause.message : undefined
  return { name, message, ...(code !== undefined && { code }), ...(cause !== undefined && { cause }), stack }
}

/** The daemon's log: JSON lines on standard output. */
export const openLog = (level: string): Logger =>
  pino({ level, base: null, errorKey: 'error', serializers: { error: shownError } })

/** A bug that nobody caught: it is said, and the process ends with 1 for its supervisor to start it anew. */
export const endOnBugs = (logger: Logger): void => {
  const end = (error: unknown) => {
    logger.fatal({ error }, 'mcpd ends: an error was not caught')
    process.exit(1)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', end)
}

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
