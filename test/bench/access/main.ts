import { newEnforcer, newModel, StringAdapter } from 'casbin'
import type { Rights } from '../../../libs/access/rights'
import { whoCan } from '../../../libs/access/explain'
import { AccessFacts } from '../../../libs/access/facts'
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

const sorted = (times: number[]) => times.toSorted((a, b) => a - b)
const at = (times: number[], share: number) =>
  sorted(times)[Math.min(times.length - 1, Math.floor(times.length * share))] ?? NaN
const median = (times: number[]) => at(times, 0.5)

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
const before = process.memoryUsage().rss
const { took: fold, result: facts } = timed(() => {
  const made = new AccessFacts()
  for (const event of policy.events) made.apply(event)
  return made
})
const memory = (process.memoryUsage().rss - before) / 2 ** 20

const cold = questions(1_000, 1).map(
  ({ user, role, server }) =>
    timed(() => facts.rightsOfUser(`User-${String(user)}`).allows({ role, kind: 'servers', name: server })).took,
)
const compiled = new Map<number, Rights>()
const rightsOf = (user: number) => {
  const known = compiled.get(user) ?? facts.rightsOfUser(`User-${String(user)}`)
  compiled.set(user, known)
  return known
}
const asked = questions(casbinRequests, 2)
const enforcer = await openCasbin(policy, new Set(asked.map(({ user }) => user)))
const warm: number[] = []
const ours: number[] = []
const theirs: number[] = []
let differ = 0
for (let round = 0; round < rounds; round++) {
  const some = questions(1_000, 3)
  for (const { user } of some) rightsOf(user)
  const many = Array.from({ length: warmRequests }, (_, nth) => some[nth % some.length] as Question)
  const each: number[] = []
  const { took } = timed(() => {
    for (const { user, role, server } of many) rightsOf(user).allows({ role, kind: 'servers', name: server })
  })
  for (const { user, role, server } of some)
    each.push(timed(() => rightsOf(user).allows({ role, kind: 'servers', name: server })).took)
  ours.push(took / warmRequests)
  warm.push(at(each, 0.99))
  const began = performance.now()
  for (const { user, role, server } of asked) {
    const answer = await enforcer.enforce(`User-${String(user)}`, server, role)
    if (answer !== rightsOf(user).allows({ role, kind: 'servers', name: server })) differ++
  }
  theirs.push((performance.now() - began) / casbinRequests)
}
const who = questions(50, 4).map(
  ({ role, server }) => timed(() => whoCan(facts, { role, kind: 'servers', name: server })).took,
)

const print = (line: string) => void process.stdout.write(`${line}\n`)
const row = (what: string, value: string, goal: string, isOk: boolean) => {
  print(`${what.padEnd(58)}${value.padStart(14)}   ${goal.padEnd(10)} ${isOk ? 'ok' : 'MISS'}`)
}
const ms = (value: number) => `${value.toPrecision(3)} ms`
const ratio = median(theirs.map((their, nth) => their / (ours[nth] ?? NaN)))
print(
  `${String(size.bindings)} bindings, ${String(size.users)} users in ${String(size.groupsPerUser)} groups each; medians of ${String(rounds)} rounds\n`,
)
row('fold of the log into memory (without reading it)', ms(fold), '-', true)
row('memory of the fold', `${memory.toFixed(0)} MiB`, '-', true)
row('warm decision, p99', ms(median(warm)), '< 1 ms', median(warm) < 1)
row('warm decision, mean', ms(median(ours)), '-', true)
row('casbin, the same decisions, mean', ms(median(theirs)), '-', true)
row('casbin / ours', `${ratio.toFixed(0)} ×`, '>= 100 ×', ratio >= 100)
row('cold decision, p99', ms(at(cold, 0.99)), '< 20 ms', at(cold, 0.99) < 20)
row('who-can, median', ms(median(who)), '< 200 ms', median(who) < 200)
row('who-can, p99', ms(at(who, 0.99)), '< 200 ms', at(who, 0.99) < 200)
row('answers that differ from casbin', String(differ), '0', differ === 0)
process.exitCode = differ === 0 ? 0 : 1
