import type { Command } from 'commander'
import type { OpenSession } from '../command-file'
import { defineCanI } from './auth-can-i'
import { defineReconcile } from './auth-reconcile'
import { defineRevoke, defineTokens } from './auth-tokens'
import { defineWhoCan } from './auth-who-can'
import { named } from './flags'
import { define as defineWhoAmI } from './whoami'

export const define = (command: Command, open: OpenSession): void => {
  command.usage('can-i | who-can | whoami | tokens | revoke | reconcile')
  defineCanI(named(command, 'can-i', 'Say whether somebody may do something, and why'), open)
  defineWhoCan(named(command, 'who-can', 'List who may do something'), open)
  defineWhoAmI(named(command, 'whoami', 'Say as whom the daemon takes you'), open)
  defineTokens(named(command, 'tokens', 'List tokens and sessions'), open)
  defineRevoke(named(command, 'revoke', 'End tokens and sessions'), open)
  defineReconcile(command, open)
}
