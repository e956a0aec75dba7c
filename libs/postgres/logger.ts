/** Where a long-running part of the system reports what it does. pino and console fit. */
export interface Logger {
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

export const silent: Logger = { info: () => undefined, warn: () => undefined, error: () => undefined }
