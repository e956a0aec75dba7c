import type { Command } from 'commander'
import type { OpenSession } from '../command-file'
import { defineKeys } from './admin-keys'
import { defineParked } from './admin-parked'
import { defineRebuild } from './admin-rebuild'
import { defineVerify } from './admin-verify'
import { named } from './flags'

export const define = (command: Command, open: OpenSession): void => {
  command.usage('keys | parked | rebuild | verify')
  defineKeys(named(command, 'keys', 'Rotate the keys that wrap the keys of secrets'), open)
  defineParked(named(command, 'parked', 'Deal with events that a read model could not apply'), open)
  defineRebuild(named(command, 'rebuild', 'Fold read models anew while they are read'), open)
  defineVerify(named(command, 'verify', 'Check the log, and read models against it'), open)
}
