import { setTimeout } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { v7 as uuidv7 } from 'uuid'
import { Directory, type AccessEvent, type AccessLog } from '@mcpctl/access'
import { EventCatalogue, PostgresEventLog, type JsonObject } from '@mcpctl/event-store'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import { event, to } from '@mcpctl/event-store/testing/event-fixtures'
import { testDatabase, type TestDatabase } from '../../../../test/support/database'
import { goneWithinMs } from '../../../../test/support/deadlines'
import { accessLog } from './access-log'
import { catalogue } from './catalogue'

const head = (name: string) => ({ name, labels: {}, annotations: {} })

/** The log, how often it was asked, and for how much at most. */
class CountedLog implements AccessLog {
  reads = 0
  most = 0

  constructor(private readonly log: PostgresEventLog) {}

  read(after: bigint, limit: number, filter: { types: string[] }) {
    this.reads++
    this.most = Math.max(this.most, limit)
    return this.log.read(after, limit, filter)
  }
}

let database: TestDatabase
let log: PostgresEventLog

beforeAll(async () => {
  database = await testDatabase()
  log = new PostgresEventLog({ pool: database.pool })
})
afterAll(() => database.close())

const append = async (streamId: string, ...appended: AccessEvent[]) => {
  const verdict = await log.append(
    to(streamId, 'any', ...appended.map((each) => event({ type: each.type, data: { ...each.data } as JsonObject }))),
  )
  expect(verdict).toMatchObject({ status: 'ok' })
}
const sees = async (directory: Directory, uid: string) =>
  (await directory.rightsOf(uid)).allows({ role: 'view', kind: 'servers', name: 'github' })

/** A user with a binding of its own that lets it see servers. */
const seer = async () => {
  const uid = uuidv7()
  const rbac = uuidv7()
  const subjects = [{ kind: 'User' as const, name: uid, uid }]
  await append(`user-${uid}`, { type: 'UserCreated', data: { ...head(uid), type: 'human' } })
  const bindings = [{ role: 'view' as const, resource: 'servers' }]
  await append(`rbac-${rbac}`, { type: 'RbacCreated', data: { ...head(rbac), subjects, bindings, operations: [] } })
  return { uid, revoke: () => append(`rbac-${rbac}`, { type: 'RbacDeleted', data: {} }) }
}

describe('the directory of rights', () => {
  it('refuses what was revoked in the next decision after it was told that there is more', async () => {
    const { uid, revoke } = await seer()
    const directory = new Directory({ log })
    expect(await sees(directory, uid)).toBe(true)
    await revoke()
    directory.invalidate()
    expect(await sees(directory, uid)).toBe(false)
  })

  it('refuses it soon where nobody tells', async () => {
    const { uid, revoke } = await seer()
    const directory = new Directory({ log })
    expect(await sees(directory, uid)).toBe(true)
    await revoke()
    await eventually(async () => !(await sees(directory, uid)), goneWithinMs)
  })

  it('asks the log once for all who decide at the same time', async () => {
    const { uid } = await seer()
    const counted = new CountedLog(log)
    const directory = new Directory({ log: counted })
    expect(await sees(directory, uid)).toBe(true)
    counted.reads = 0
    directory.invalidate()
    const answers = await Promise.all(Array.from({ length: 100 }, () => sees(directory, uid)))
    expect(new Set(answers)).toEqual(new Set([true]))
    expect(counted.reads).toBe(1)
  })

  it('answers where reading takes longer than facts stay new', async () => {
    const { uid } = await seer()
    const slow: AccessLog = { read: (...asked) => setTimeout(600).then(() => log.read(...asked)) }
    expect(await sees(new Directory({ log: slow }), uid)).toBe(true)
  })

  it('tells who watches after the new rights are in force', async () => {
    const { uid, revoke } = await seer()
    const directory = new Directory({ log })
    expect(await sees(directory, uid)).toBe(true)
    const told: Promise<boolean>[] = []
    const stop = directory.onChange(() => told.push(sees(directory, uid)))
    await revoke()
    directory.invalidate()
    await directory.confirm()
    stop()
    expect(await Promise.all(told)).toEqual([false])
  })

  it('knows the same when it reads everything at once as when it reads each event as it comes', async () => {
    const follows = new Directory({ log })
    const people: string[] = []
    for (let n = 0; n < 30; n++) {
      const { uid, revoke } = await seer()
      people.push(uid)
      if (n % 3 === 0) await revoke()
      if (n % 4 === 0) await append(`user-${uid}`, { type: 'UserDisabled', data: {} })
      if (n % 8 === 0) await append(`user-${uid}`, { type: 'UserEnabled', data: {} })
      follows.invalidate()
      await follows.confirm()
    }
    const reads = new Directory({ log })
    const seenBy = (directory: Directory) => Promise.all(people.map((uid) => sees(directory, uid)))
    expect(await seenBy(reads)).toEqual(await seenBy(follows))
    expect(new Set(await seenBy(reads))).toEqual(new Set([true, false]))
  })

  it('goes on with what it knows while the database is away, and no longer than told', async () => {
    const { uid } = await seer()
    const lost = await testDatabase()
    const away = new PostgresEventLog({ pool: lost.pool })
    const [first, second] = await log.read(0n, 1_000).then((all) => all.slice(-2))
    for (const each of [first, second])
      if (each) await away.append(to(each.streamId, 'any', event({ type: each.type, data: each.data })))
    const patient = new Directory({ log: away, graceMs: 60_000 })
    const strict = new Directory({ log: away, graceMs: 0 })
    expect([await sees(patient, uid), await sees(strict, uid)]).toEqual([true, true])
    await lost.close()
    patient.invalidate()
    strict.invalidate()
    expect(await sees(patient, uid)).toBe(true)
    await expect(sees(strict, uid)).rejects.toMatchObject({ code: 'Unavailable' })
  })

  it('allows nothing before it could read anything', async () => {
    const lost = await testDatabase()
    await lost.close()
    const directory = new Directory({ log: new PostgresEventLog({ pool: lost.pool }) })
    await expect(directory.rightsOf(uuidv7())).rejects.toMatchObject({ code: 'Unavailable' })
  })

  it('reads 100,000 events page by page, and the next time what is new alone', async () => {
    const many = await testDatabase()
    try {
      const crowd = new PostgresEventLog({ pool: many.pool })
      const uid = uuidv7()
      const group = { type: 'GroupCreated', data: { ...head('crowd'), members: [] } }
      await crowd.append(to(`group-${uid}`, 'none', event(group)))
      const joins = (n: number) => event({ type: 'GroupMemberAdded', data: { uid: `u${String(n)}`, name: String(n) } })
      for (let n = 0; n < 100_000; n += 1_000)
        await crowd.append(to(`group-${uid}`, 'exists', ...Array.from({ length: 1_000 }, (_, nth) => joins(n + nth))))
      const counted = new CountedLog(crowd)
      const directory = new Directory({ log: counted })
      const { facts } = await directory.current()
      expect(facts.group(uid)?.members.size).toBe(100_000)
      expect([counted.reads, counted.most]).toEqual([101, 1_000])
      counted.reads = 0
      await crowd.append(to(`group-${uid}`, 'exists', event({ type: 'GroupMemberRemoved', data: { uid: 'u7' } })))
      directory.invalidate()
      await directory.confirm()
      expect([facts.group(uid)?.members.size, counted.reads]).toEqual([99_999, 1])
    } finally {
      await many.close()
    }
  })
})

describe('an event of rights', () => {
  let apart: TestDatabase
  let own: PostgresEventLog
  beforeEach(async () => {
    apart = await testDatabase()
    own = new PostgresEventLog({ pool: apart.pool })
  })
  afterEach(() => apart.close())

  const bindings = [{ role: 'view', resource: 'servers' }]
  const store = async (schemaVersion: number, data: JsonObject) => {
    const uid = uuidv7()
    const rbac = event({ type: 'RbacCreated', schemaVersion, data: { ...head(uid), ...data } })
    const append = { streamId: `rbac-${uid}`, category: 'rbac', expected: 'none' as const, events: [rbac] }
    expect(await own.append({ streams: [append] })).toMatchObject({ status: 'ok' })
    return uid
  }

  it('that was stored in a former shape is folded in that of now', async () => {
    const uid = await store(1, { to: [], allows: bindings })
    const lift = ({ to: subjects = [], allows = [], ...rest }: JsonObject): JsonObject => ({
      ...rest,
      subjects,
      bindings: allows,
      operations: [],
    })
    const rbac = { category: 'rbac', events: { RbacCreated: [lift] } }
    const { facts } = await new Directory({ log: accessLog(own, new EventCatalogue([rbac])) }).current()
    expect(facts.rbac(uid)?.entries).toMatchObject([{ entry: bindings[0] }])
  })

  it('that a newer daemon has stored is not guessed at: nothing is allowed, at once', async () => {
    const directory = new Directory({ log: accessLog(own, catalogue), graceMs: 60_000 })
    await store(1, { subjects: [], bindings, operations: [] })
    await directory.confirm()
    await store(99, { subjects: [], bindings, operations: [] })
    directory.invalidate()
    await expect(directory.confirm()).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringMatching(/newer daemon.*upgrade/),
    })
  })
})
