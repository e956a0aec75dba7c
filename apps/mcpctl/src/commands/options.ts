import type { Command } from 'commander'
import type { OpenSession } from '../command-file'
import { formatTable } from '../output/table'
import { globalOptions } from '../global-options'

export const define = (command: Command, open: OpenSession): void => {
  command.action(() => {
    const rows = globalOptions.map(([flags, description]) => [`  ${flags}`, description])
    open(command).print(`These flags can be passed to any command:\n\n${formatTable(rows)}`)
  })
}
