import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CanaryWorld } from './canary-world'
import { editedOf, type Told } from './canary-story'

/** A way out: what went through it, and what surely did, so that a channel that nothing came through is noticed. */
export type Channel = [
  name: string,
  shows: string | RegExp,
  gather: (world: CanaryWorld, told: Told) => string | Buffer | Promise<string | Buffer>,
]

const joined = (texts: readonly string[]): string => texts.join('\n')
const answers = (world: CanaryWorld, wanted: (asked: { request: string; status: number }) => boolean): string =>
  joined(
    world.asked
      .filter(wanted)
      .map(({ request, status, text }) => `${request.split(/[ ?]/)[0] ?? ''} ${String(status)}\n${text}`),
  )
const printed = (world: CanaryWorld, wanted: RegExp = /^/): string =>
  joined(world.ran.filter(({ line }) => wanted.test(line)).map(({ out, err }) => out + err))
const evidence = (world: CanaryWorld, name: string): Promise<string> => readFile(join(world.evidence, name), 'utf8')

export const channels: Channel[] = [
  ['every table of the database, as text and as bytes', 'SecretVersionSet', (_, { tables }) => tables],
  ['the log, exported', 'SecretVersionSet', (_, { exported }) => exported],
  ["the daemon's log, at level trace", '"level":', (world) => world.sandbox.log()],
  ['answers of the API', 'application/json', (world) => answers(world, () => true)],
  ['problem details', 'urn:request:', (world) => answers(world, ({ status }) => status >= 400)],
  ['secrets in the API', '"keep":true', (world) => answers(world, ({ request }) => /secrets/.test(request))],
  ['OpenAPI, its examples included', '"openapi":', (world) => answers(world, ({ request }) => /openapi/.test(request))],
  ['records of refusals', 'impersonate:users/***', (world) => answers(world, ({ request }) => /denials/.test(request))],
  ['logs of instances', 'TOKEN is ***', (world) => answers(world, ({ request }) => /logs/.test(request))],
  [
    'what servers say of themselves',
    'Signed in with ***',
    (world) => answers(world, ({ request }) => /instances/.test(request)),
  ],
  [
    'why instances are not ready',
    'bad credentials: ***',
    (world) => answers(world, ({ request }) => /instances/.test(request)),
  ],
  ['frames of watches', '"kind":"Secret"', (world) => joined(world.frames)],
  ['output of every command, at -v 9', 'canary', (world) => printed(world)],
  ['get and describe', 'keep: true', (world) => printed(world, /^(get|describe)/)],
  ['dry runs', 'keep', (world) => printed(world, /--dry-run/)],
  ['verification of the log', /./, (world) => printed(world, /^admin/)],
  [
    'command lines of the daemon, its children and commands',
    'create\0secret',
    (world) => joined(world.processes.map(({ cmdline }) => cmdline)),
  ],
  [
    'environments of all but the instances',
    'MCPD_LOG_LEVEL=trace',
    (world) => joined(world.processes.filter(({ isInstance }) => !isInstance).map(({ environ }) => environ)),
  ],
  ['what an editor is given', 'keep: true', editedOf],
  ['the command line of who starts an editor', 'edit\0secret', (world) => evidence(world, 'editing-cmdline')],
  ['the environment of who starts an editor', 'MCPCTL_CONFIG=', (world) => evidence(world, 'editing-environ')],
  ['the configuration of the command line', 'contexts', (world) => readFile(world.sandbox.config, 'utf8')],
]

/** All that the daemon, its database, instances and commands have written: data, logs, temporary files, caches, configuration. */
export const written = (world: CanaryWorld): string => world.sandbox.directory
