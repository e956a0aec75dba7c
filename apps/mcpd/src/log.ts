import { maskCredentials } from '@mcpctl/contracts'
import { pino, type DestinationStream, type Logger } from 'pino'

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

/** Fields that hold credentials or what people have sent, wherever they are logged. */
const withheld = ['authorization', 'cookie', 'password', 'token', 'secret', 'body', 'env', 'headers', 'rawHeaders']

/** The daemon's log: JSON lines, on standard output unless told. No line holds what looks like a credential, whatever it was that logged it. */
export const openLog = (level: string, destination?: DestinationStream): Logger =>
  pino(
    {
      level,
      base: null,
      errorKey: 'error',
      serializers: { error: shownError },
      redact: { paths: withheld.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '***' },
      hooks: { streamWrite: maskCredentials },
    },
    destination ?? pino.destination(1),
  )

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
