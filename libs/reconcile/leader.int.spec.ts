import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { Leader, type LeaderOptions } from '@mcpctl/reconcile'
import type { Client } from 'pg'
import { bundle } from '../../test/support/bundle'
import { testDatabase, type TestDatabase } from '../../test/support/database'

jest.setTimeout(60_000)

/** Short, so that the cases are; long enough for two busy cores. */
const lease = 4_000

let database: TestDatabase
let owner: Client
let script: string
let name = ''
let count = 0
let leaders: Leader[] = []
let children: ChildProcess[] = []

beforeAll(async () => {
  ;[database, script] = await Promise.all([testDatabase(), bundle('test/support/leader-process.ts', 'leader-process')])
  owner = await database.connect()
})
afterAll(async () => {
  await rm(script, { force: true })
  await database.close()
})
beforeEach(() => {
  name = `leader-${++count}`
})
afterEach(async () => {
  const [running, contending] = [children, leaders]
  children = []
  leaders = []
  for (const child of running) await kill(child)
  for (const leader of contending) await leader.stop()
})

const kill = async (child: ChildProcess) => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

const eventually = async (condition: () => boolean | Promise<boolean>, what: string) => {
  const deadline = performance.now() + 20_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`it never happened that ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A contender that notes what happens to it. */
const contend = (address: string, options: Partial<LeaderOptions> = {}) => {
  const warnings: string[] = []
  const logger = { info: () => undefined, warn: (text: string) => void warnings.push(text), error: () => undefined }
  const leader = new Leader({ url: database.url, pool: database.pool, name, address, lease, logger, ...options })
  leaders.push(leader)
  const terms: number[] = []
  const reasons: string[] = []
  leader.onElected((term) => void terms.push(term))
  leader.onLost((reason) => void reasons.push(reason))
  leader.start()
  return { leader, terms, reasons, warnings }
}

const contendElsewhere = (address: string) => {
  const child = spawn(process.execPath, [script, database.url, name, address, String(lease)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const lines: { elected?: number; lost?: string; acts?: number | null; at?: number }[] = []
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as object))
  return { child, lines }
}

const terminate = () =>
  owner.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [
    `mcpd leader ${name}`,
  ])

const leadersOf = <Contender extends { leader: Leader }>(contenders: Contender[]) =>
  contenders.filter(({ leader }) => leader.current())

describe('several daemons', () => {
  it('have exactly one leader, whom all can name', async () => {
    const contenders = ['one', 'two', 'three'].map((address) => contend(address))
    await eventually(() => leadersOf(contenders).length > 0, 'one leads')
    await new Promise((resolve) => setTimeout(resolve, lease / 4))
    expect(leadersOf(contenders)).toHaveLength(1)
    const addresses = await Promise.all(contenders.map(({ leader }) => leader.leaderAddress()))
    expect(new Set(addresses).size).toBe(1)
    expect(addresses[0]).toMatch(/^(one|two|three)$/)
    expect(contenders.flatMap(({ terms }) => terms)).toEqual([1])
  })

  it('hand over to the other, under a higher term, when the leader stops', async () => {
    const first = contend('first')
    await eventually(() => first.leader.current()?.term === 1, 'the first leads')
    const second = contend('second')
    await first.leader.stop()
    expect(first.reasons).toEqual(['this daemon stops'])
    await eventually(() => second.leader.current()?.term === 2, 'the second leads')
    expect(await second.leader.leaderAddress()).toBe('second')
  })

  it('know no address when nobody leads', async () => {
    const { leader } = contend('only')
    await eventually(() => leader.current() !== undefined, 'it leads')
    await leader.stop()
    expect(leader.current()).toBeUndefined()
    await eventually(async () => (await leader.leaderAddress()) === undefined, 'nobody leads')
  })

  it('lead different things at the same time', async () => {
    const here = contend('here')
    name = `${name}-other`
    const there = contend('there')
    await eventually(() => leadersOf([here, there]).length === 2, 'both lead')
  })
})

describe('a leader', () => {
  it('steps down when its connection is cut, and a new term begins', async () => {
    const contenders = [contend('one'), contend('two')]
    await eventually(() => leadersOf(contenders).length === 1, 'one leads')
    const [old] = leadersOf(contenders)
    await terminate()
    await eventually(() => old?.reasons.length === 1, 'it steps down')
    expect(old?.reasons[0]).toMatch(/^the lock's connection failed: /)
    await eventually(
      () => leadersOf(contenders).some(({ leader }) => (leader.current()?.term ?? 0) > 1),
      'one leads again',
    )
    expect(leadersOf(contenders)).toHaveLength(1)
  })

  it('steps down when another one was elected behind its back', async () => {
    const { leader, reasons, terms } = contend('usurped')
    await eventually(() => leader.current()?.term === 1, 'it leads')
    await owner.query('select es.next_term($1, $2)', [name, 'usurper'])
    await eventually(() => reasons.length === 1, 'it steps down')
    expect(reasons).toEqual(['another daemon was elected for term 2'])
    await eventually(() => leader.current()?.term === 3, 'it leads again')
    expect(terms).toEqual([1, 3])
  })

  it('steps down when what it does fails, and tries again', async () => {
    let fail = true
    const { leader, reasons } = contend('failing')
    leader.onElected(() => {
      if (fail) throw new Error('no engine')
    })
    await eventually(() => reasons.length > 0, 'it steps down')
    expect(reasons[0]).toBe('what the leader does failed: no engine')
    fail = false
    await eventually(() => leader.current() !== undefined, 'it leads again')
  })

  it('has ended its work before it lets go of the lock', async () => {
    const first = contend('first')
    let finish: () => void = () => undefined
    let aborted = false
    first.leader.onElected(async (_term, signal) => {
      await new Promise<void>((resolve) => (finish = resolve))
      aborted = signal.aborted
    })
    await eventually(() => first.leader.current() !== undefined, 'it leads')
    const second = contend('second')
    const stopped = first.leader.stop()
    expect(first.leader.current()).toBeUndefined()
    await new Promise((resolve) => setTimeout(resolve, lease / 4))
    expect(second.terms).toEqual([])
    finish()
    await stopped
    expect(aborted).toBe(true)
    await eventually(() => second.leader.current()?.term === 2, 'the second leads')
  })

  it('is replaced when it is killed', async () => {
    const { child, lines } = contendElsewhere('victim')
    await eventually(() => lines.some(({ elected }) => elected === 1), 'it leads')
    const heir = contend('heir')
    await kill(child)
    await eventually(() => heir.leader.current()?.term === 2, 'the heir leads')
  })

  it('is replaced when it freezes, and does nothing more after it thaws', async () => {
    const { child, lines } = contendElsewhere('frozen')
    await eventually(() => lines.some(({ acts }) => acts === 1), 'it leads')
    const heir = contend('heir')
    child.kill('SIGSTOP')
    await eventually(() => heir.leader.current()?.term === 2, 'the heir leads')
    const thawed = Date.now()
    child.kill('SIGCONT')
    await eventually(() => lines.some(({ lost }) => lost !== undefined), 'it notices')
    expect(lines.filter(({ acts, at = 0 }) => acts === 1 && at >= thawed)).toEqual([])
    expect(heir.leader.current()?.term).toBe(2)
  })
})

describe('a contender', () => {
  it('says once why it cannot contend, and leads once it can', async () => {
    await owner.query('create role shy login superuser connection limit 0')
    const url = new URL(database.url)
    url.username = 'shy'
    await owner.query(`alter role shy nosuperuser password 'shy'`)
    await owner.query('grant mcpd_app to shy')
    url.password = 'shy'
    const { leader, warnings } = contend('shy', { url: url.href })
    await eventually(() => warnings.length > 0, 'it complains')
    await new Promise((resolve) => setTimeout(resolve, lease / 4))
    expect(warnings).toEqual(['cannot contend for leadership: too many connections for role "shy"'])
    await owner.query('alter role shy connection limit 5')
    await eventually(() => leader.current() !== undefined, 'it leads')
    await leader.stop()
    await owner.query('drop role shy')
  })
})
