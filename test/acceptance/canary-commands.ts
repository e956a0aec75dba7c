import type { CanaryWorld, Ran } from './canary-world'

const formats = [
  [],
  ['-o', 'wide'],
  ['-o', 'yaml'],
  ['-o', 'json'],
  ['-o', 'name'],
  ['-o', 'yaml', '--full'],
  ['-o', 'json', '--full'],
  ['--show-labels'],
]
const kinds = ['servers', 'instances', 'secrets', 'projects', 'users', 'groups', 'rbac']

/** Command lines that show something, by what the secret is still in use for. What is listed of commands must be among them. */
const lines = (file: string): string[][] => [
  ...kinds.flatMap((kind) => formats.map((format) => ['get', kind, ...format])),
  ...formats.filter(([, format]) => format !== 'name').map((format) => ['get', 'secret', 'canary', ...format]),
  ['get', 'all', '-o', 'yaml'],
  ['get', 'secrets', '--field-selector', 'metadata.name=canary'],
  ...kinds.map((kind) => ['describe', kind]),
  ['describe', 'secret', 'canary'],
  ['logs', 'canary'],
  ['logs', 'canary', '--timestamps', '--prefix'],
  ['status'],
  ...['json', 'yaml'].map((format) => ['status', '-o', format]),
  ['version'],
  ['options'],
  ['help', 'exit-codes'],
  ['api-resources'],
  ['whoami'],
  ['auth', 'whoami'],
  ['auth', 'tokens'],
  ['auth', 'can-i', 'view', 'secrets/canary'],
  ['auth', 'can-i', '--list'],
  ['auth', 'who-can', 'reveal', 'secrets/canary'],
  ['auth', 'reconcile', '--prune-dangling'],
  ['auth', 'revoke', '00000000-0000-7000-8000-000000000000'],
  ['admin', 'verify'],
  ['admin', 'rebuild', '--wait'],
  ['admin', 'keys', 'status'],
  ['admin', 'keys', 'status', '-o', 'json'],
  ['admin', 'keys', 'rotate', '--yes'],
  ['admin', 'keys', 'rewrap', '--yes'],
  ['admin', 'parked', 'list'],
  ['admin', 'parked', 'retry', 'objects', '1'],
  ['admin', 'parked', 'skip', 'objects', '1'],
  ...[[], ['--raw'], ['-o', 'json']].map((flags) => ['config', 'view', ...flags]),
  ['config', 'get-contexts'],
  ['config', 'current-context'],
  ['config', 'use-context', 'local'],
  ['config', 'claude-code', '--direct', 'canary'],
  ['config', 'claude-code', '--direct', 'canary', '--write'],
  ['config', 'claude-desktop', '--project', 'canary'],
  ['config', 'cursor', '--direct', 'canary'],
  ['config', 'vscode', '--direct', 'canary', '--write'],
  ['apply', '-f', file, '--dry-run=server', '-o', 'json'],
  ['apply', '-f', file, '--dry-run=client'],
  ['apply', '-f', file],
  ['create', '-f', file],
  ['create', 'secret', 'dry', '--from-file', `key=${file}`, '--dry-run=client', '-o', 'yaml'],
  ['create', 'secret', 'dry', '--from-file', `key=${file}`, '--dry-run=server', '-o', 'json'],
  ['create', 'server', 'canary', '--image', 'x', '--env-secret', 'TOKEN=canary:token'],
  ['create', 'project', 'canary'],
  ['create', 'user', 'admin'],
  ['create', 'group', 'admins'],
  ['create', 'rbac', 'admins'],
  ['create', 'token', '--dry-run=client'],
  ['scale', 'server', 'canary', '--replicas', '1'],
  ['wait', 'server/canary', '--for=condition=Available', '--timeout=120s'],
  ['delete', 'secret', 'canary'],
  ['delete', '-f', file, '--dry-run=client'],
  ['up'],
  ['login', '--user', 'admin', '--password-stdin'],
  ['logout'],
  ['passwd'],
]

/** Commands that end what the others need, or that the story has run by itself. */
const elsewhere = ['edit', 'down']
/** Runs nothing by itself. */
const withoutLines = ['logout']

const below = async (world: CanaryWorld, words: string[]): Promise<string[]> => {
  const { out } = await world.sandbox.mcpctl(...words, '--help')
  const listed =
    words.length === 0
      ? out.replace(/^[^]*?\n\n/, '').replace(/^Options:\n(?: .*\n)+/m, '')
      : (/^Commands:\n((?: .*\n)+)/m.exec(out)?.[1] ?? '')
  return [...listed.matchAll(/^ {2}([a-z][a-z-]*)/gm)].flatMap(([, word]) => word ?? [])
}

/** Every command that `--help` lists, with those below it. */
export const listedCommands = async (world: CanaryWorld, words: string[] = []): Promise<string[]> => {
  const next = await below(world, words)
  const all = words.length === 0 ? [] : [words.join(' ')]
  for (const word of next) all.push(...(await listedCommands(world, [...words, word])))
  return all
}

/** Commands that are listed and were never run: each needs a line above. */
export const forgotten = (listed: readonly string[], ran: readonly Ran[]): string[] =>
  listed.filter(
    (command) =>
      ![...elsewhere, ...withoutLines].includes(command) &&
      !ran.some(({ line }) => `${line} `.startsWith(`${command} `)),
  )

/** Runs all of them, a few at a time. */
export const runAll = async (world: CanaryWorld, file: string): Promise<void> => {
  const waiting = lines(file).filter(([word = '']) => !withoutLines.includes(word))
  const next = async (): Promise<void> => {
    for (let line = waiting.shift(); line; line = waiting.shift()) await world.run(...line)
  }
  await Promise.all([next(), next(), next()])
}
