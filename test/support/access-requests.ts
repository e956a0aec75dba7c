import { idleServer, rbacOf, secretEnv, secretValue } from './access-fixture'
import type { AccessWorld } from './access-world'
import type { Caller, Item, Items, Reply } from './caller'
import { EventSource } from './event-source'
import { callEcho, isAnswered, isForbidden } from './mcp-exchange'
import { until } from './binaries'
import { packageOf } from '../acceptance/world'

/** Who asks: over HTTP by the caller, on the command line by the token and `--as`. */
export interface Scene {
  world: AccessWorld
  user: string
  caller: Caller
}

export interface Result {
  status: number
  reason?: string
  /** Of a list or watch. */
  names?: string[]
  filtered?: boolean
  /** What it is a list of. */
  plural?: string
}

export interface Typed {
  args: string[]
  input?: string
}

export interface AccessRequest {
  /** Makes what the words take for granted and the fixture does not hold. */
  before?(world: AccessWorld): Promise<unknown>
  http(scene: Scene): Promise<Result>
  /** What one would type for it; absent where there is no command. */
  cli?(scene: Scene): Typed | Promise<Typed>
}

const plurals: Record<string, string> = { rbac: 'rbac' }
const pluralOf = (word: string): string => plurals[word] ?? (word.endsWith('s') ? word : `${word}s`)

/** `github-1` stands for whichever instance of github there is: names of instances hold a hash. */
const nameOf = async (world: AccessWorld, plural: string, name: string): Promise<string> =>
  plural === 'instances' ? (await world.instanceOf(name.replace(/-\d+$/, ''))).metadata.name : name

/** Writes an object anew with some of its spec changed. The version is the administrator's reading: what counts is the write. */
const change = async ({ world, caller }: Scene, path: string, spec: (item: Item) => object): Promise<Reply<Item>> => {
  const item = await world.read(path)
  const { kind, metadata } = item
  return caller.put(path, { kind, metadata, spec: { ...item.spec, ...spec(item) } }, metadata.resourceVersion)
}

/** Removes what the fixture holds and the words take away. */
const isAbsent = (plural: string, name: string): Pick<AccessRequest, 'before'> => ({
  before: (world) => world.gone(`/${plural}/${name}`),
})

const one = (word: string, name: string, absent: boolean): AccessRequest => {
  const plural = pluralOf(word)
  return {
    ...(absent && isAbsent(plural, name)),
    http: async ({ world, caller }) => caller.get(`/${plural}/${await nameOf(world, plural, name)}`),
    cli: async ({ world }) => ({ args: ['get', word, await nameOf(world, plural, name), '-o', 'name'] }),
  }
}

const list = (plural: string): AccessRequest => ({
  async http({ caller }) {
    const { status, reason, body } = await caller.get<Items>(`/${plural}?limit=1000`)
    if (status !== 200) return { status, ...(reason !== undefined && { reason }) }
    const names = body.items.map(({ metadata }) => metadata.name)
    return { status, names, filtered: body.metadata.accessFiltered === true, plural }
  },
  cli: () => ({ args: ['get', plural, '-o', 'name'] }),
})

/** Watches while the administrator changes, makes and removes what may be seen and what may not. */
const watch = (plural: string): AccessRequest => ({
  async http({ world, caller }) {
    const source = await EventSource.watch(caller, plural)
    if (source.status !== 200) return { status: source.status }
    const { root } = world
    await root.must(root.apply({ servers: [idleServer('passing')] }))
    await root.must(root.apply({ servers: [{ ...idleServer('passing'), labels: { seen: 'no' } }] }))
    await root.must(root.delete('/servers/passing'))
    await root.must(root.apply({ servers: [{ ...idleServer('team-a'), labels: { last: 'yes' } }] }))
    await source.saw('MODIFIED', 'team-a')
    source.close()
    return { status: 200, names: source.names, plural }
  },
})

const createServer = (name: string, dryRun: boolean): AccessRequest => ({
  http: ({ caller }) => caller.post(`/servers${dryRun ? '?dryRun=All' : ''}`, idleServer(name)),
  cli: () => ({
    args: ['create', 'server', name, '--package', packageOf('memory'), '--replicas', '0'].concat(
      dryRun ? ['--dry-run=server'] : [],
    ),
  }),
})

const createServerWith = (name: string, secret: string): AccessRequest => ({
  http: ({ caller }) => caller.post('/servers', idleServer(name, { env: [secretEnv(secret)] })),
  cli: () => ({
    args: ['create', 'server', name, '--package', packageOf('memory'), '--replicas', '0'].concat(
      '--env-secret',
      `TOKEN=${secret}:token`,
    ),
  }),
})

/** Everything that is shown of a secret, which is all but its values. */
const getSecret = (name: string): AccessRequest => ({
  async http({ caller }) {
    const reply = await caller.get(`/secrets/${name}`)
    if (reply.text.includes(secretValue)) throw new Error(`the value of ${name} is shown`)
    return reply
  },
  cli: () => ({ args: ['get', 'secret', name, '-o', 'yaml'] }),
})

const reveal = (name: string): AccessRequest => ({
  async http({ caller }) {
    const reply = await caller.post(`/secrets/${name}:reveal`, {})
    if (reply.text.includes(secretValue) !== (reply.status === 200))
      throw new Error(`${name} is revealed to nobody else`)
    return reply
  },
  cli: () => ({ args: ['describe', 'secret', name, '--show-values'] }),
})

const applyServer = (name: string): AccessRequest => {
  const manifest = { servers: [idleServer(name, { labels: { applied: 'yes' } })] }
  return {
    http: ({ caller }) => caller.apply(manifest),
    cli: () => ({ args: ['apply', '-f', '-'], input: JSON.stringify(manifest) }),
  }
}

const scale = (name: string, replicas: number): AccessRequest => ({
  http: ({ caller }) => caller.send('PUT', `/api/v1/servers/${name}/scale`, { spec: { replicas } }),
  cli: () => ({ args: ['scale', `server/${name}`, `--replicas=${String(replicas)}`] }),
})

const editServer = (name: string, spec: object): AccessRequest => ({
  http: (scene) => change(scene, `/servers/${name}`, () => spec),
  cli: async ({ world }) => ({
    args: ['apply', '-f', '-'],
    input: JSON.stringify({ servers: [{ ...(await world.manifestOf('servers', name)), ...spec }] }),
  }),
})

const remove = (word: string, name: string): AccessRequest => {
  const plural = pluralOf(word)
  return {
    http: async ({ world, caller }) => caller.delete(`/${plural}/${await nameOf(world, plural, name)}`),
    cli: async ({ world }) => ({
      args: ['delete', word, await nameOf(world, plural, name), '--yes', '--wait=false'],
    }),
  }
}

const removeAll = (plural: string): AccessRequest => ({
  http: ({ caller }) => caller.delete(`/${plural}`),
  cli: () => ({ args: ['delete', plural, '--all', '--yes', '--wait=false'] }),
})

const callTool = (at: string, tool = 'echo'): AccessRequest => ({
  http({ world, caller }) {
    // Asked again while instances come and go: it is the right that counts.
    return until(`${tool} at ${at} answers`, async () => {
      if (!isAnswered(await callEcho(world.root, at, tool))) return undefined
      const reply = await callEcho(caller, at, tool)
      if (reply.status !== 200 || isAnswered(reply)) return { status: reply.status }
      return isForbidden(reply) ? { status: 403 } : undefined
    })
  },
})

const logs = (word: string, name: string): AccessRequest => {
  const plural = pluralOf(word)
  return {
    http: async ({ world, caller }) => caller.get(`/${plural}/${await nameOf(world, plural, name)}/logs`),
    cli: async ({ world }) => ({ args: ['logs', `${word}/${await nameOf(world, plural, name)}`] }),
  }
}

const createRbac = (entry: string, subject: string): AccessRequest => {
  const operation = entry.startsWith('op ')
  const flag = operation ? ['--operation', entry.slice('op '.length)] : ['--binding', entry]
  return {
    http: ({ caller }) => caller.post('/rbac', rbacOf('new-rbac', [`u:${subject}`], [entry])),
    cli: () => ({ args: ['create', 'rbac', 'new-rbac', '--subject', `User:${subject}`, ...flag] }),
  }
}

const addSubject = (rbac: string, user: string): AccessRequest => {
  const subjects = ({ spec }: Item) => ({ subjects: [...(spec['subjects'] as object[]), { kind: 'User', name: user }] })
  return {
    http: (scene) => change(scene, `/rbac/${rbac}`, subjects),
    cli: async ({ world }) => {
      const item = await world.read(`/rbac/${rbac}`)
      const entry = { name: rbac, ...item.spec, ...subjects(item) }
      return { args: ['apply', '-f', '-'], input: JSON.stringify({ rbac: [entry] }) }
    },
  }
}

const member = (one: string | { name: string }): string => (typeof one === 'string' ? one : one.name)

/** Replaces the members of a group by what `next` makes of their names. */
const membership = (group: string, next: (members: string[]) => string[]): AccessRequest => {
  const changed = ({ spec }: Item) => ({
    members: next((spec['members'] as (string | { name: string })[]).map(member)),
  })
  return {
    http: (scene) => change(scene, `/groups/${group}`, changed),
    cli: async ({ world }) => {
      const item = await world.read(`/groups/${group}`)
      return { args: ['apply', '-f', '-'], input: JSON.stringify({ groups: [{ name: group, ...changed(item) }] }) }
    },
  }
}

const allOf = async (...asked: (() => Promise<Result>)[]): Promise<Result> => {
  for (const ask of asked) {
    const result = await ask()
    if (result.status >= 300) return result
  }
  return { status: 200 }
}

/** A password that somebody chooses with a one-time code, and then changes. */
const selfService: AccessRequest = {
  async http({ world, caller, user }) {
    const { root } = world
    const { code } = await root.must(root.post<{ code: string }>(`/users/${user}/password`, {}))
    const first = 'a first pass phrase for a test'
    await root.must(world.anonymous.post('/setup', { user, code, password: first }))
    return allOf(
      () => caller.get('/whoami'),
      () => caller.post('/authz/can-i', { verb: 'view', kind: 'servers', name: 'github' }),
      () => caller.post(`/users/${user}/password`, { current: first, password: 'another pass phrase for a test' }),
    )
  },
  cli: () => ({ args: ['auth', 'whoami'] }),
}

const applyBoth = (one: string, other: string): AccessRequest => {
  const wanted = (world: AccessWorld, name: string) => world.manifestOf('servers', name)
  const manifest = async (world: AccessWorld) => ({
    servers: [{ ...(await wanted(world, one)), labels: { both: 'yes' } }, idleServer(other)],
  })
  return {
    http: async ({ world, caller }) => caller.apply(await manifest(world)),
    cli: async ({ world }) => ({ args: ['apply', '-f', '-'], input: JSON.stringify(await manifest(world)) }),
  }
}

const createUser = (name: string, group: string): AccessRequest => {
  const groups = async (world: AccessWorld) => {
    if (group === '') return {}
    const found = await world.manifestOf('groups', group)
    return { groups: [{ ...found, members: [...(found['members'] as unknown[]), name] }] }
  }
  const manifest = async (world: AccessWorld) => ({ users: [{ name, type: 'human' }], ...(await groups(world)) })
  return {
    http: async ({ world, caller }) => caller.apply(await manifest(world)),
    cli: async ({ world }) => ({ args: ['apply', '-f', '-'], input: JSON.stringify(await manifest(world)) }),
  }
}

const disable = (name: string): AccessRequest => {
  const users = [{ name, type: 'human', enabled: false }]
  return {
    http: (scene) => change(scene, `/users/${name}`, () => ({ enabled: false })),
    cli: () => ({ args: ['apply', '-f', '-'], input: JSON.stringify({ users }) }),
  }
}

const describeUser = (name: string): AccessRequest => ({
  http: ({ caller }) =>
    allOf(
      () => caller.get(`/users/${name}`),
      () => caller.get(`/authz/effective?user=${name}`),
    ),
  cli: () => ({ args: ['describe', 'user', name] }),
})

/** A group that did not take part is empty. */
type Row = [words: RegExp, request: (...groups: string[]) => AccessRequest]

const rows: Row[] = [
  [/^GET (\/\S+)$/, (path) => ({ http: ({ caller }) => caller.send('GET', path) })],
  [/^get -w (\w+)$/, watch],
  [/^get (servers|projects|instances|users|groups|rbac|secrets)$/, list],
  [/^get secret (\S+) -o yaml$/, getSecret],
  [/^describe secret (\S+) --show-values$/, reveal],
  [/^create server (\S+) with secretRef (\S+)$/, createServerWith],
  [/^get (\w+) (\S+)( \(not there\))?$/, (word, name, absent) => one(word, name, absent !== '')],
  [
    /^create server (\S+)( --dry-run=server)?( \(not there\))?$/,
    (name, dryRun, absent) => ({
      ...(absent !== '' && isAbsent('servers', name)),
      ...createServer(name, dryRun !== ''),
    }),
  ],
  [/^create instance (\S+)$/, (name) => ({ http: ({ caller }) => caller.post('/instances', { name }) })],
  [/^apply (\S+) \(exists\)$/, applyServer],
  [/^scale (?:server )?(\S+)(?: --replicas (\d+))?$/, (name, to) => scale(name, Number(to === '' ? 2 : to))],
  [/^edit server (\S+)$/, (name) => editServer(name, { args: ['stdio', '--edited'] })],
  [/^edit (\S+): only replicas$/, (name) => editServer(name, { replicas: 2 })],
  [/^edit (\S+): new image(?: \(refs \S+\))?$/, (name) => editServer(name, { package: packageOf('memory'), args: [] })],
  [
    /^edit instance (\S+)$/,
    (name) => ({
      http: async ({ world, caller }) => caller.put(`/instances/${await nameOf(world, 'instances', name)}`, {}),
    }),
  ],
  [/^apply (\S+) and (\S+)$/, applyBoth],
  [/^create user (\S+)(?: in group (\S+))?$/, createUser],
  [/^disable (\S+)$/, disable],
  [
    /^create token(?: for (\S+))?$/,
    (user) => ({ http: ({ caller }) => caller.post('/tokens', user === '' ? {} : { user }) }),
  ],
  [
    /^can-i of (\S+)$/,
    (user) => ({ http: ({ caller }) => caller.post('/authz/can-i', { verb: 'view', kind: 'servers', user }) }),
  ],
  [/^delete (\w+) --all$/, removeAll],
  [/^delete (server|instance|project|secret|user|group|rbac) (\S+)$/, remove],
  [/^tools\/call (?:on )?(\S+)(?: server endpoint| \(server endpoint\))?$/, (name) => callTool(`servers/${name}`)],
  [/^tools\/call (\S+) tool via project (\S+)$/, (server, name) => callTool(`projects/${name}`, `${server}__echo`)],
  [/^logs (server|instance)\/(\S+)$/, logs],
  [/^create rbac (?:giving|with) (\S+)(?: to (\S+))?$/, (entry, to) => createRbac(entry, to === '' ? 'bob' : to)],
  [/^create rbac --operation (\S+)$/, (action) => createRbac(`op ${action}`, 'bob')],
  [/^create rbac --subject User:(\S+)$/, (ghost) => createRbac('view:servers', ghost)],
  [/^edit rbac (\S+): add subject (\S+)$/, addSubject],
  [/^add (\S+) to group (\S+)$/, (user, group) => membership(group, (names) => [...names, user])],
  [/^reset password of (\S+)$/, (user) => ({ http: ({ caller }) => caller.post(`/users/${user}/password`, {}) })],
  [/^auth whoami \/ can-i \/ change own password$/, () => selfService],
  [/^describe user (\S+)$/, describeUser],
]

/** `remove himself from admins (carol disabled)`: what stands in brackets is the fixture's already. */
const himself = /^remove himself from (\S+)( \(.*\))?$/

/** The request that a case's words stand for; undefined when no pattern takes them. */
export const requestFor = (words: string, user: string): AccessRequest | undefined => {
  const group = himself.exec(words)?.[1]
  if (group !== undefined) return membership(group, (names) => names.filter((name) => name !== user))
  for (const [pattern, request] of rows) {
    const found = pattern.exec(words)
    if (found) return request(...found.slice(1).map((group: string | undefined) => group ?? ''))
  }
  return undefined
}
