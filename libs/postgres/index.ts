export { createClient, createPool, type ConnectOptions } from './connect'
export { EmbeddedPostgres, type EmbeddedPostgresOptions } from './embedded-postgres'
export type { Logger } from './logger'
export { runMigrations } from './migrations'
