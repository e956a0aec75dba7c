import type { Command } from 'commander'
import type { ManifestEntry, ResourceObject } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { usage } from '../errors'
import { showGlobal } from '../global-options'
import { printCreated, sendCreate, waitForCreated } from '../manifest/create'
import type { CreateStyle } from '../manifest/create'
import type { Session } from '../session'
import { requireKind } from '../targets'
import { addWaitOptions, addStyleOptions, styleOf } from './create-style'
import type { StyleFlags } from './create-style'
import { collect, numberOf, pairsOf, present } from './flags'
import { secretEnvOf, secretFilesOf } from './secret-references'

interface ServerFlags extends StyleFlags {
  image?: string
  package?: string
  url?: string
  transport?: string
  command?: string[]
  arg?: string[]
  env?: string[]
  envSecret?: string[]
  secretFile?: string[]
  secretRotation?: string
  port?: string
  path?: string
  replicas?: string
  cpu?: string
  memory?: string
  pids?: string
  network?: string
  label?: string[]
  annotation?: string[]
  project?: string[]
}

export interface CreateServerRequest {
  entry: ManifestEntry
  projects: string[]
  style: CreateStyle
}

const sources = ['image', 'package', 'url'] as const

const requireOneSource = (flags: ServerFlags): void => {
  const given = sources.filter((source) => flags[source] !== undefined)
  if (given.length === 1) return
  const found = given.length === 0 ? 'none was given' : `${given.map((name) => `--${name}`).join(' and ')} were given`
  throw usage(
    `exactly one of --image, --package and --url says what to run; ${found}`,
    'For example: mcpctl create server files --package npm:@scope/name@1.2.3',
  )
}

const envOf = ({ env, envSecret }: ServerFlags) => {
  if (!env && !envSecret) return undefined
  const plain = Object.entries(pairsOf(env ?? [], '--env')).map(([name, value]) => ({ name, value }))
  return [...plain, ...secretEnvOf(envSecret ?? [])]
}

const resourcesOf = ({ cpu, memory, pids }: ServerFlags) => {
  const limits = present({ memory, cpu, pids: numberOf(pids, '--pids') })
  return Object.keys(limits).length === 0 ? undefined : limits
}

/** The manifest entry that the flags describe. Throws usage errors. */
export const parseCreateServer = (words: string[], flags: ServerFlags): CreateServerRequest => {
  const [name, ...rest] = words
  if (name === undefined)
    throw usage('exactly one NAME is required', 'For example: mcpctl create server github --image …')
  if (rest.length > 0)
    throw usage(
      `exactly one NAME is required, got ${String(words.length)}`,
      'Arguments of the server go in --arg, each in one.',
    )
  requireOneSource(flags)
  const entry = present({
    name,
    labels: flags.label && pairsOf(flags.label, '--label'),
    annotations: flags.annotation && pairsOf(flags.annotation, '--annotation'),
    image: flags.image,
    package: flags.package,
    url: flags.url,
    transport: flags.transport,
    port: numberOf(flags.port, '--port'),
    path: flags.path,
    command: flags.command,
    args: flags.arg,
    env: envOf(flags),
    secretFiles: flags.secretFile && secretFilesOf(flags.secretFile),
    secretRotation: flags.secretRotation,
    replicas: numberOf(flags.replicas, '--replicas'),
    resources: resourcesOf(flags),
    network: flags.network === undefined ? undefined : { mode: flags.network },
  })
  return { entry: entry as ManifestEntry, projects: flags.project ?? [], style: styleOf(flags) }
}

const serverKind = requireKind('server')
const projectKind = requireKind('project')

const withServer = (project: ResourceObject, server: string): ResourceObject => {
  const { servers } = project.spec
  const attached = Array.isArray(servers) ? (servers as string[]) : []
  return { ...project, spec: { ...project.spec, servers: [...new Set([...attached, server])] } }
}

const toPut = ({ metadata: { name, labels, annotations }, spec }: ResourceObject): ManifestEntry => ({
  name,
  labels,
  annotations,
  ...spec,
})

/** What the server would be. Where the daemon decides, the projects' changes are decided with it: they name a server that is not there yet. */
const rehearse = async (
  session: Session,
  { entry, style }: CreateServerRequest,
  attached: readonly ResourceObject[],
): Promise<ResourceObject> => {
  const server = await sendCreate(session, { kind: serverKind, entry, locate: () => '' }, style)
  if (style.dryRun === 'server' && attached.length > 0)
    await session.client.apply({ servers: [entry], projects: attached.map(toPut) }, { dryRun: true })
  return server
}

/** Projects are looked up first: a misspelt one must not leave a server behind that is in none. */
export const runCreateServer = async (session: Session, request: CreateServerRequest): Promise<void> => {
  const { entry, projects, style } = request
  const found = await Promise.all(projects.map((name) => session.client.get('projects', name)))
  const attached = found.map((project) => withServer(project, entry.name))
  if (style.dryRun) {
    const planned = [{ kind: serverKind, object: await rehearse(session, request, attached) }]
    const changed = style.format === 'yaml' || style.format === 'json' ? attached : []
    await printCreated(session, [...planned, ...changed.map((object) => ({ kind: projectKind, object }))], style)
    return
  }
  session.announceContext()
  const locate = () => ''
  const server = await sendCreate(session, { kind: serverKind, entry, locate })
  for (const project of attached)
    await session.client.replace('projects', toPut(project), project.metadata.resourceVersion)
  await printCreated(session, [{ kind: serverKind, object: server }], style)
  await waitForCreated(session, serverKind, entry.name, style)
}

export const defineCreateServer = (command: Command, open: OpenSession, run = runCreateServer): void => {
  showGlobal(command, '--reason')
  addWaitOptions(addStyleOptions(command))
    .summary('Create a server')
    .description('Create a server from flags')
    .usage('NAME (--image IMAGE | --package PACKAGE | --url URL) [flags]')
    .argument('[words...]')
    .option('--image <image>', 'container image, for example ghcr.io/team/server:1.2')
    .option('--package <package>', 'package with its exact version, for example npm:@scope/name@1.2.3')
    .option('--url <url>', 'address of a server that runs elsewhere')
    .option('--transport <transport>', 'stdio or http')
    .option('--command <word>', 'replaces the entry point; repeat it for each word', collect)
    .option('--arg <word>', 'an argument of the server; repeat it for each one', collect)
    .option('--env <name=value>', 'a variable of its environment; may be repeated', collect)
    .option(
      '--env-secret <name=secret:key>',
      'a variable with the value of a secret, @VERSION may follow; may be repeated',
      collect,
    )
    .option('--secret-file <secret:key:/path>', 'a value of a secret as a file; may be repeated', collect)
    .option('--secret-rotation <mode>', 'what a new version of a secret means: Restart (default) or Manual')
    .option('--port <port>', 'port that it listens on; transport http only')
    .option('--path <path>', 'path of its MCP endpoint; transport http only')
    .option('-r, --replicas <count>', 'how many copies run (default 1)')
    .option('--cpu <cpus>', 'processor limit of each copy, for example 500m')
    .option('--memory <amount>', 'memory limit of each copy, for example 512Mi')
    .option('--pids <count>', 'process limit of each copy')
    .option('--network <mode>', 'none, internal or egress')
    .option('-l, --label <key=value>', 'a label; may be repeated', collect)
    .option('--annotation <key=value>', 'an annotation; may be repeated', collect)
    .option('--project <name>', 'attach it to this project; may be repeated', collect)
    .addHelpText(
      'after',
      `
Examples:
  mcpctl create server files --package npm:@modelcontextprotocol/server-filesystem@2026.8.31 --arg /tmp
  mcpctl create server github --image ghcr.io/github/github-mcp-server:v0.9 --arg stdio -r 2 \\
    --env-secret GITHUB_PERSONAL_ACCESS_TOKEN=gh-token:token --wait`,
    )
    .action(async (words: string[], flags: ServerFlags) => run(open(command), parseCreateServer(words, flags)))
}
