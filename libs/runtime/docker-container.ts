import type Docker from 'dockerode'
import { createHash } from 'node:crypto'
import type { InstanceOrder, InstanceTemplate, Unit, UnitExit } from './driver'
import { StartError } from './driver'
import { parseCpu, parseMemory } from './quantity'

const prefix = 'mcpctl.io/'

/** Names of the labels by which our containers, networks and images are known. */
export const labels = {
  store: `${prefix}store-id`,
  epoch: `${prefix}epoch`,
  server: `${prefix}server-uid`,
  instance: `${prefix}instance-uid`,
  template: `${prefix}template-hash`,
  term: `${prefix}term`,
  transport: `${prefix}transport`,
  port: `${prefix}port`,
  path: `${prefix}path`,
  /** Names of the variables that hold values of secrets. */
  secretEnv: `${prefix}secret-env`,
} as const

/** Of a store's id in names: a digest, as UUIDv7s of the same minute begin alike. */
export const storeDigest = (storeId: string): string => createHash('sha256').update(storeId).digest('hex').slice(0, 8)

export const containerName = (storeId: string, instanceUid: string): string =>
  `mcpctl-${storeDigest(storeId)}-${instanceUid}`

/** Port of http servers that name none; they are told by the environment variable PORT. */
export const portOf = (template: InstanceTemplate): number => template.port ?? 8080

/** What the image says about its program and its user. */
export interface ImageFacts {
  id: string
  user: string
  env: string[]
  workingDirectory: string
}

export interface ContainerPlan {
  storeId: string
  epoch: number
  order: InstanceOrder
  /** Name or id of an image that is there. */
  image: string
  facts: ImageFacts
  entrypoint: string[]
  args: string[]
  network: string
  mounts: Docker.MountConfig
}

const unprivileged = '65532:65532'
const isRoot = (user: string) => user === '' || /^(root|0+)(:|$)/.test(user)

/** Whom the program of an image runs as; never as root. */
export const userOf = ({ user }: ImageFacts): string => (isRoot(user) ? unprivileged : user)

const limit = (parsed: number | undefined, text: string): number => {
  if (parsed === undefined) throw new StartError('CreateConfigError', `resources: "${text}" is no quantity`)
  return parsed
}

const envOf = ({ order: { template, inputs }, facts }: ContainerPlan): string[] => {
  const env = new Map<string, string>()
  // A user without an entry in the image's passwd would have / as home, where nothing can be written.
  if (isRoot(facts.user)) env.set('HOME', '/tmp')
  // Many servers listen on the container's own loopback unless they are told otherwise.
  if (template.transport === 'http') env.set('HOST', '0.0.0.0').set('PORT', String(portOf(template)))
  for (const { name, value } of inputs.env) env.set(name, value)
  for (const file of inputs.files) env.set(file.env, file.path)
  return [...env].map(([name, value]) => `${name}=${value}`)
}

const labelsOf = ({ storeId, epoch, order }: ContainerPlan): Record<string, string> => ({
  [labels.store]: storeId,
  [labels.epoch]: String(epoch),
  [labels.server]: order.serverUid,
  [labels.instance]: order.uid,
  [labels.template]: order.templateHash,
  [labels.term]: String(order.term),
  [labels.transport]: order.template.transport,
  [labels.port]: String(portOf(order.template)),
  [labels.path]: order.template.path ?? '/mcp',
  ...(order.inputs.secretEnv.length > 0 && { [labels.secretEnv]: order.inputs.secretEnv.join(',') }),
})

/** Nothing of the host, no rights, bounded in everything; what a server needs beyond that it must declare. */
const hostConfig = ({ order: { template }, network, mounts }: ContainerPlan): Docker.HostConfig => {
  const { memory = '512Mi', cpu = '1', pids = 256 } = template.resources ?? {}
  const bytes = limit(parseMemory(memory), memory)
  return {
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges:true'],
    ReadonlyRootfs: true,
    ...(mounts.length > 0 && { Mounts: mounts }),
    Tmpfs: { '/tmp': 'rw,noexec,nosuid,nodev,size=64m,mode=1777' },
    PidsLimit: pids,
    Memory: bytes,
    // As much as the memory: no swap.
    MemorySwap: bytes,
    NanoCpus: limit(parseCpu(cpu), cpu),
    Ulimits: [{ Name: 'nofile', Soft: 1024, Hard: 1024 }],
    // Node as first process would ignore SIGTERM and never collect orphans.
    Init: true,
    Privileged: false,
    IpcMode: 'private',
    NetworkMode: network,
    RestartPolicy: { Name: 'no' },
    // The engine would keep every answer of a stdio server on disk; we keep what is a log ourselves.
    LogConfig: { Type: 'none', Config: {} },
  }
}

/** The request that creates the container of an instance. Throws StartError CreateConfigError for limits that are no quantities. */
export const containerRequest = (plan: ContainerPlan): Docker.ContainerCreateOptions => {
  const isStdio = plan.order.template.transport === 'stdio'
  return {
    name: containerName(plan.storeId, plan.order.uid),
    Image: plan.image,
    Labels: labelsOf(plan),
    Env: envOf(plan),
    ...(isRoot(plan.facts.user) ? { User: unprivileged } : {}),
    ...(plan.entrypoint.length > 0 ? { Entrypoint: plan.entrypoint } : {}),
    ...(plan.args.length > 0 ? { Cmd: plan.args } : {}),
    // Input stays open when we let go of it, so that a restarted daemon goes on with the same session.
    OpenStdin: isStdio,
    StdinOnce: false,
    AttachStdin: isStdio,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    HostConfig: hostConfig(plan),
  }
}

const signalNames: Record<number, string> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  6: 'SIGABRT',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  15: 'SIGTERM',
}

const exitOf = ({ ExitCode, OOMKilled, FinishedAt }: Docker.ContainerInspectInfo['State']): UnitExit => ({
  code: ExitCode,
  // The init process reports the death of its child by a signal as 128 + number.
  signal: signalNames[ExitCode - 128] ?? null,
  oom: OOMKilled,
  at: FinishedAt,
})

/** What the engine says about a container of ours, as a unit. */
export const unitOf = ({ Id, State, Config }: Docker.ContainerInspectInfo): Unit => {
  const unit = {
    instanceUid: Config.Labels[labels.instance] ?? '',
    serverUid: Config.Labels[labels.server] ?? '',
    templateHash: Config.Labels[labels.template] ?? '',
    handle: Id,
  }
  if (State.Status === 'created') return { ...unit, state: 'created' }
  const startedAt = State.StartedAt
  if (State.Running) return { ...unit, state: 'running', startedAt }
  return { ...unit, state: 'exited', startedAt, exit: exitOf(State) }
}

/** Whether the container's standard streams are its MCP channel. */
export const isMcpOnStdio = ({ Config }: Docker.ContainerInspectInfo): boolean =>
  Config.Labels[labels.transport] === 'stdio'
