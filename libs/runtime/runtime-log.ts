/** Where drivers report what an operator should know; pino's loggers fit. Never given a value of an environment variable. */
export interface RuntimeLog {
  info(details: object, message: string): void
  warn(details: object, message: string): void
}

export const silent: RuntimeLog = { info: () => undefined, warn: () => undefined }
