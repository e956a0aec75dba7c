import type { Command } from 'commander'
import type { OpenSession } from '../command-file'
import { defineParked } from './admin-parked'
import { defineRebuild } from './admin-rebuild'
import { defineVerify } from './admin-verify'

export const define = (command: Command, open: OpenSession): void => {
  command.usage('parked | rebuild | verify')
  const parked = command.command('parked').summary('Deal with events that a read model could not apply')
  defineParked(parked, open)
  defineRebuild(command.command('rebuild').summary('Fold read models anew while they are read'), open)
  defineVerify(command.command('verify').summary('Check the log, and read models against it'), open)
}
