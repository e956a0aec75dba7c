import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { v7 as uuidv7 } from 'uuid'
import { Directory, type AccessEvent, type AccessLog } from '@mcpctl/access'
import { PostgresEventLog, type JsonObject } from '@mcpctl/event-store'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import { event, to } from '@mcpctl/event-store/testing/event-fixtures'
import { testDatabase, type TestDatabase } from '../../../../test/support/database'
import { goneWithinMs } from '../../../../test/support/deadlines'

const head = (name: string) => ({ name, labels: {}, annotations: {} })

/** The log, and how often it was asked. */
class CountedLog implements AccessLog {
  reads = 0

  constructor(private readonly log: PostgresEventLog) {}

  read(after: bigint, limit: number, filter: { types: string[] }) {
    this.reads++
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
})
