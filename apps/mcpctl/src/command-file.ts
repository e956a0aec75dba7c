import type { Command } from 'commander'
import type { Session } from './session'

export type OpenSession = (command: Command) => Session

/** A command's file. `define` declares flags and binds what runs; nothing else happens at import. */
export interface CommandFile {
  define: (command: Command, open: OpenSession) => void
}
