import { cpus } from 'node:os'
import { newEnforcer, newModel, StringAdapter } from 'casbin'
import type { Ask, Rights } from '../../../libs/access/rights'
import { whoCan } from '../../../libs/access/explain'
import { AccessFacts } from '../../../libs/access/facts'
import { quantiles, type Round } from '../event-store/measure'
import { Report } from '../event-store/report'
import { dice, makePolicy, size, type Policy } from './policy'

const roles = ['view', 'edit', 'delete', 'run'] as const
const rounds = 5
const warmRequests = 200_000
const casbinRequests = 5

interface Question {
  user: number
  role: (typeof roles)[number]
  server: string
}

const questions = (count: number, seed: number): Question[] => {
  const roll = dice(seed)
  return Array.from({ length: count }, () => ({
    user: roll(size.users),
    role: roles[roll(roles.length)] ?? 'view',
    server: `server-${String(roll(size.servers))}`,
  }))
}

const timed = <T>(work: () => T): { took: number; result: T } => {
  const began = performance.now()
  const result = work()
  return { took: performance.now() - began, result }
}

const model = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = (r.act == p.act || (p.act == "edit" && r.act == "view")) && (p.obj == "*" || r.obj == p.obj) && g(r.sub, p.sub)
`

/** casbin's own RBAC model with groups as its roles, the cheap comparisons first: its matcher is asked for each policy line. */
const openCasbin = async ({ groupsOf, bindings }: Policy, users: Set<number>) => {
  const lines = bindings.map(({ subject, entry }) =>
    ['p', `${subject.kind}-${String(subject.number)}`, entry.name ?? '*', 'role' in entry ? entry.role : ''].join(', '),
  )
  // Groups of the users that are asked about alone: the others would only make it larger.
  const memberships = [...users].flatMap((user) =>
    (groupsOf[user] ?? []).map((group) => `g, User-${String(user)}, Group-${String(group)}`),
  )
  const enforcer = await newEnforcer(newModel(model), new StringAdapter([...new Set(lines), ...memberships].join('\n')))
  enforcer.enableLog(false)
  return enforcer
}

const policy = makePolicy()
const report = new Report(undefined)
await report.start({ benchmark: 'access', node: process.version, cpus: cpus().length, ...size, rounds })

const collect = () => globalThis.gc?.()
collect()
const before = process.memoryUsage().heapUsed
const { took: fold, result: facts } = timed(() => {
  const made = new AccessFacts()
  for (const event of policy.events) made.apply(event)
  return made
})
collect()
const memory = (process.memoryUsage().heapUsed - before) / 2 ** 20

const rightsOf = (user: number) => facts.rightsOfUser(`User-${String(user)}`)
const known = new Map<number, Rights>()
const warmRights = (user: number) => {
  const rights = known.get(user) ?? rightsOf(user)
  known.set(user, rights)
  return rights
}
const ask = ({ role, server }: Question): Ask => ({ role, kind: 'servers', name: server })
const roundOf = (times: number[]): Round => ({
  rate: times.reduce((sum, each) => sum + each, 0) / times.length,
  ...quantiles(times),
})

const asked = questions(casbinRequests, 2)
const enforcer = await openCasbin(policy, new Set(asked.map(({ user }) => user)))
let differ = 0
const askCasbin = async (): Promise<Round> => {
  const began = performance.now()
  for (const question of asked) {
    const answer = await enforcer.enforce(`User-${String(question.user)}`, question.server, question.role)
    if (answer !== warmRights(question.user).allows(ask(question))) differ++
  }
  return { rate: (performance.now() - began) / casbinRequests }
}

/** So many that the clock's own time does not count. */
const askWarm = (): Round => {
  const some = questions(1_000, 3)
  for (const { user } of some) warmRights(user)
  const each = some.map((question) => timed(() => warmRights(question.user).allows(ask(question))).took)
  const { took } = timed(() => {
    for (let nth = 0; nth < warmRequests; nth++) {
      const question = some[nth % some.length] as Question
      warmRights(question.user).allows(ask(question))
    }
  })
  return { ...quantiles(each), rate: took / warmRequests }
}

/** Of facts that nobody has asked yet: what subjects hold is compiled too. */
const askCold = (round: number): Round => {
  const fresh = facts.after([])
  return roundOf(
    questions(200, 10 + round).map((question) => {
      const uid = `User-${String(question.user)}`
      return timed(() => fresh.rightsOfUser(uid).allows(ask(question))).took
    }),
  )
}

const askWho = (round: number): Round =>
  roundOf(questions(50, 20 + round).map((question) => timed(() => whoCan(facts, ask(question))).took))

const lanes = { cold: [] as Round[], warm: [] as Round[], casbin: [] as Round[], who: [] as Round[] }
for (let round = 0; round < rounds; round++) {
  lanes.cold.push(askCold(round))
  lanes.warm.push(askWarm())
  lanes.casbin.push(await askCasbin())
  lanes.who.push(askWho(round))
}

const row = (workload: string, store: string, of: Round[]) => report.row({ workload, store, unit: 'ms' }, of)
const p99 = (of: Round[]) => of.map((round) => round.p99 ?? NaN)
await row('fold of the log, without reading it', 'ours', [{ rate: fold }])
await report.row({ workload: 'memory of the fold', store: 'ours', unit: 'MiB' }, [{ rate: memory }])
await row('decision, warm', 'ours', lanes.warm)
await row('decision, cold', 'ours', lanes.cold)
await row('decision', 'casbin', lanes.casbin)
await row('who-can', 'ours', lanes.who)
await report.goal('warm decision, p99 in ms', p99(lanes.warm), '<=', 1)
await report.goal(
  'casbin / ours, the same decisions',
  lanes.casbin.map(({ rate }, nth) => rate / (lanes.warm[nth]?.rate ?? NaN)),
  '>=',
  100,
)
await report.goal('cold decision, p99 in ms', p99(lanes.cold), '<=', 20)
await report.goal('who-can, p99 in ms', p99(lanes.who), '<=', 200)
await report.goal('answers that differ from casbin', [differ], '<=', 0)
report.print()
process.exitCode = differ === 0 ? 0 : 1
