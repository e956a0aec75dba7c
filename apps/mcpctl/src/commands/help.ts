import type { Command } from 'commander'
import { didYouMean } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { exit, usage } from '../errors'
import { formatTable } from '../output/table'

const meanings: [number, string][] = [
  [exit.ok, 'it worked'],
  [exit.negative, 'a negative answer, or several failures that differ'],
  [exit.usage, 'wrong word, wrong flag, or a local file that cannot be used'],
  [exit.notFound, 'not found'],
  [exit.notLoggedIn, 'not logged in'],
  [exit.forbidden, 'forbidden'],
  [exit.conflict, 'conflict: exists already, changed meanwhile, in use, ambiguous'],
  [exit.invalid, 'invalid: the daemon refused a field'],
  [exit.timeout, 'timed out, or committed but not visible yet'],
  [exit.unavailable, 'no daemon, no connection, or too many requests'],
  [exit.internal, 'an internal error'],
  [exit.interrupted, 'interrupted (Ctrl-C)'],
]

const topics: Record<string, () => string> = {
  'exit-codes': () => {
    const rows = meanings.map(([code, meaning]) => [String(code), meaning])
    return (
      formatTable([['CODE', 'MEANING'], ...rows]) +
      '\nSeveral objects: the common code if all failures agree, else 1.\n' +
      'MCPCTL_EXIT_CODES=kubectl turns 2 to 10 into 1.\n'
    )
  },
}

export const define = (command: Command, open: OpenSession): void => {
  command
    .usage('[COMMAND | exit-codes]')
    .argument('[words...]')
    .action(async (words: string[]) => {
      const [first = ''] = words
      const topic = topics[first]
      if (topic) {
        open(command).print(topic())
        return
      }
      const known = (command.parent?.commands ?? []).map((one) => one.name())
      if (first !== '' && !known.includes(first))
        throw usage(`there is no help about "${first}"${didYouMean(first, [...known, ...Object.keys(topics)])}`)
      await command.parent?.parseAsync([...words, '--help'], { from: 'user' })
    })
}
