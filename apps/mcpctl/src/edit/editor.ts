import { CliError, exit } from '../errors'
import type { Io } from '../io'

type Environment = Io['env']

const variables = ['MCPCTL_EDITOR', 'KUBE_EDITOR', 'VISUAL', 'EDITOR']

/** The editor that the user has chosen, as typed; `vi` when he has not. */
export const chosenEditor = (env: Environment): string =>
  variables.map((name) => env[name]?.trim()).find((editor) => editor) ?? 'vi'

/** What to run: a bare word itself; with spaces or quotes it is a line for the user's shell, so that `code --wait` works. */
export const editorCommand = (env: Environment, file: string): [command: string, args: string[]] => {
  const editor = chosenEditor(env)
  if (!/["'\s]/.test(editor)) return [editor, [file]]
  // The file is the shell's $0: no sign in its name is ever read as part of the line.
  return [env['SHELL'] || '/bin/sh', ['-c', `${editor} "$0"`, file]]
}

const text = (error: unknown, field: 'code' | 'message'): string => String(Reflect.get(error as object, field))

/** Lets the user edit the file. Throws when the editor cannot be started or says that it failed. */
export const runEditor = async (io: Io, file: string): Promise<void> => {
  const editor = chosenEditor(io.env)
  const [command, args] = editorCommand(io.env, file)
  const { code, signal } = await io.handOver(command, args).catch((error: unknown) => {
    const cause = text(error, 'code') === 'ENOENT' ? 'there is no such program' : text(error, 'message')
    throw new CliError(
      exit.negative,
      `cannot run the editor "${editor}": ${cause}`,
      'choose another one with MCPCTL_EDITOR or EDITOR',
    )
  })
  if (code === 0) return
  const how = signal ? `was ended by ${signal}` : `ended with code ${String(code)}`
  throw new CliError(exit.negative, `the editor "${editor}" ${how}; nothing was changed`)
}
