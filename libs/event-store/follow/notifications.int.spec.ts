import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { eventually } from '../testing/eventually'
import { Projecting } from '../testing/projecting'
import { Follower } from './follower'

describe('A notification', () => {
  let database: TestDatabase
  let projecting: Projecting

  beforeAll(async () => {
    database = await testDatabase()
    projecting = await Projecting.open(database)
  })
  beforeEach(() => projecting.begin())
  afterEach(() => projecting.end())
  afterAll(async () => {
    await projecting.close()
    await database.close()
  })

  const role = 'event_store_forger'
  /** Sends as a role that may log in and nothing else. */
  const forge = async (channel: string, payloads: string[]) => {
    const owner = await database.connect()
    await owner.query(`drop role if exists ${role}`)
    await owner.query(`create role ${role}`)
    await owner.query(`grant ${role} to current_user`)
    await owner.query(`set role ${role}`)
    await owner.query('select pg_notify($1, payload) from unnest($2::text[]) payload', [channel, payloads])
    await owner.query('reset role')
    await owner.query(`drop role ${role}`)
    await owner.end()
  }
  const far = 1_000_000n

  it.each([
    ['the same version of the model', 1],
    ['another version of the model', 7],
  ])('of a checkpoint for %s that nobody has moved makes nobody believe in it', async (_, version) => {
    const projector = projecting.start()
    await projecting.append(3)
    expect(await projecting.caughtUp(projector)).toBe(true)
    const head = await projecting.log.head()
    const heard: bigint[] = []
    const forget = projecting.follower.onCheckpoint(({ position }) => heard.push(position))
    const waiting = projector.waitFor(head + 1n, 1_500)
    await forge(
      'es_checkpoint',
      Array.from({ length: 200 }, (_each, i) => `${far + BigInt(i)} ${version} ${projecting.name}`),
    )
    await eventually(() => heard.length >= 200)
    forget()
    expect(await waiting).toBe(false)
    expect(projector.status()).toMatchObject({ position: head, status: 'running' })
    await projecting.append(3)
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('of the log that nobody has appended to wakes and does nothing else', async () => {
    const projector = projecting.start()
    await projecting.append(3)
    expect(await projecting.caughtUp(projector)).toBe(true)
    const head = await projecting.log.head()
    let woken = 0
    const forget = projecting.follower.onAdvance(() => woken++)
    await forge('es_event', [String(far), '', 'not a position', `${far} 1 ${projecting.name}`])
    await eventually(() => woken >= 4)
    forget()
    expect(await projector.waitFor(head + 1n, 300)).toBe(false)
    expect(projector.status()).toMatchObject({ position: head, status: 'running' })
    await projecting.append(3)
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('of a checkpoint that was moved tells other processes at once', async () => {
    const quiet = new Follower({ pool: database.pool, pollMs: 60_000 })
    projecting.later(() => quiet.stop())
    await quiet.start()
    const projector = projecting.start()
    expect(await projecting.caughtUp(projector)).toBe(true)
    // Of other code, so that it can know the position from the other one only.
    const onlooker = projecting.start({ follower: quiet, fold: 'other' })
    await eventually(() => onlooker.status().status === 'waiting')
    for (let round = 0; round < 20; round++) {
      await projecting.append(1)
      expect(await projecting.caughtUp(onlooker)).toBe(true)
    }
  })
})
