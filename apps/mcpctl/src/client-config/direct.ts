import type { DirectConfig, DirectEnv } from '@mcpctl/contracts'
import { usage } from '../errors'
import type { AiClient, Blank } from './clients'

/** One server in a client's file. */
export interface ClientEntry {
  name: string
  entry: Record<string, unknown>
  blanks: Blank[]
}

interface Started {
  command: string
  args: string[]
}

const ofPackage = ({ package: source = '', command, args }: DirectConfig): Started => {
  const name = source.replace(/^npm:/, '')
  const [program, ...more] = command
  // Without a word for the program, npx finds the package's only one.
  if (program === undefined) return { command: 'npx', args: ['-y', name, ...args] }
  return { command: 'npx', args: ['-y', `--package=${name}`, '--', program, ...more, ...args] }
}

/** Values reach the container through the client's own environment: an argument could be read by every user of the machine. */
const ofImage = (config: DirectConfig, fileBlanks: ReadonlyMap<string, string>): Started => {
  const { image = '', command, args, env, files, network } = config
  const [entrypoint, ...more] = command
  return {
    command: 'docker',
    args: [
      ...['run', '--rm', '-i', '--init'],
      ...(network?.mode === 'none' ? ['--network', 'none'] : []),
      ...env.flatMap(({ name }) => ['-e', name]),
      ...files.flatMap(({ env: variable, path }) => [
        ...['-e', `${variable}=${path}`],
        ...['-v', `${fileBlanks.get(variable) ?? ''}:${path}:ro`],
      ]),
      ...(entrypoint === undefined ? [] : ['--entrypoint', entrypoint]),
      image,
      ...more,
      ...args,
    ],
  }
}

const remoteEntry = (client: AiClient, { server, url = '', transport }: DirectConfig): ClientEntry => {
  if (!client.remote)
    throw usage(
      `${client.title} starts programs only, and server "${server}" is reached by its URL`,
      'put it into a project and name that: --project NAME',
    )
  return { name: server, entry: client.remote(url, transport), blanks: [] }
}

/** An entry with which the client runs the server itself; it holds no value of a secret. Throws usage errors where that cannot be. */
export const directEntry = (client: AiClient, config: DirectConfig): ClientEntry => {
  const { server, env, files } = config
  if (config.url !== undefined) return remoteEntry(client, config)
  if (config.transport !== 'stdio')
    throw usage(
      `server "${server}" listens on a port (transport ${config.transport}), and a client can run servers on stdio only`,
      'put it into a project and name that: --project NAME',
    )
  const envBlank = (one: DirectEnv): Blank[] =>
    'secret' in one ? [{ server, variable: one.name, secret: one.secret, isFile: false }] : []
  const fileBlanks = files.map(({ env: variable, secret }) => ({ server, variable, secret, isFile: true }))
  const blanks: Blank[] = [...env.flatMap(envBlank), ...fileBlanks]
  const filled = new Map(blanks.map((blank) => [blank.variable, client.blank(blank)]))
  const started = config.image === undefined ? ofPackage(config) : ofImage(config, filled)
  const variables = [
    ...env.map((one) => [one.name, 'secret' in one ? filled.get(one.name) : one.value]),
    // In a container the file has a path of its own.
    ...(config.image === undefined ? fileBlanks.map(({ variable }) => [variable, filled.get(variable)]) : []),
  ]
  const entry = {
    ...(client.typed && { type: 'stdio' }),
    ...started,
    ...(variables.length > 0 && { env: Object.fromEntries(variables) as Record<string, string> }),
  }
  return { name: server, entry, blanks }
}

/** Plain values that the client would change because they read like a variable of its own. */
export const expandedNames = ({ env }: DirectConfig): string[] =>
  env.flatMap((one) => ('value' in one && one.value.includes('${') ? [one.name] : []))
