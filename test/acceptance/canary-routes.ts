import type { CanaryWorld } from './canary-world'

interface Document {
  paths: Record<string, Record<string, unknown>>
}

/** Names that stand for the parameters of a route. */
const names: Record<string, string> = {
  servers: 'canary',
  secrets: 'canary',
  projects: 'canary',
  users: 'admin',
  groups: 'admins',
  rbac: 'admins',
  models: 'objects',
}

/** Values pass the gateway as its users send and get them: a tool's result is not searched. */
const isGateway = (path: string): boolean => path.startsWith('/mcp/')

const filled = async (world: CanaryWorld, path: string): Promise<string | undefined> => {
  const [, plural = ''] = /\/(\w+)\/\{name\}/.exec(path) ?? []
  const name = plural === 'instances' ? (await world.objects(plural))[0]?.metadata.name : names[plural]
  const whole = name === undefined ? path : path.replace('{name}', name)
  return whole.includes('{') ? undefined : whole
}

const left: string[] = []

/** Asks every route that only reads, with what there is. */
export const askAll = async (world: CanaryWorld): Promise<void> => {
  const { paths } = (await world.must('GET', '/openapi.json')) as unknown as Document
  left.length = 0
  for (const [path, methods] of Object.entries(paths)) {
    if (!('get' in methods) || isGateway(path)) continue
    const whole = await filled(world, path)
    if (whole === undefined) left.push(path)
    else await world.ask('GET', whole)
  }
  // Nobody measures it yet; who begins to adds a channel.
  const metrics = await world.ask('GET', '/metrics')
  if (metrics.status !== 404) left.push('/metrics')
}

/** Routes that nobody knew how to ask: each needs a name above. */
export const unasked = (world: CanaryWorld): string[] => [
  ...left,
  ...(world.asked.some(({ request }) => request === 'GET /api/v1/secrets/canary') ? [] : ['secrets']),
]
