import type { Command } from 'commander'
import type { OpenSession } from '../command-file'
import { defineCanI } from './auth-can-i'
import { defineReconcile } from './auth-reconcile'
import { defineWhoCan } from './auth-who-can'
import { named } from './flags'

export const define = (command: Command, open: OpenSession): void => {
  command.usage('can-i | who-can | reconcile')
  defineCanI(named(command, 'can-i', 'Say whether somebody may do something, and why'), open)
  defineWhoCan(named(command, 'who-can', 'List who may do something'), open)
  defineReconcile(command, open)
}
