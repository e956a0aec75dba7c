import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { until } from '../support/binaries'
import { overHttp } from '../support/mcp-clients'
import { RotationWorld } from './rotation-world'
import { converged, copies } from './world'

const replicas = 2

describe('a new version of a secret', () => {
  let world: RotationWorld
  beforeAll(async () => {
    world = await RotationWorld.create()
    await world.begin(replicas)
  }, 180_000)
  afterAll(() => world.remove(), 60_000)

  it('reaches every copy without a failed call', async () => {
    const ended = world.calling()
    await world.rotate('two')
    await world.holds(2)
    await world.shows('two')
    await world.rotate('three')
    await world.holds(3)
    await world.shows('three')
    const { failures, rounds } = await ended()
    expect(failures).toEqual([])
    expect(rounds).toBeGreaterThan(20)
    expect(world.seen).toEqual(['one', 'two', 'three'])
    expect(await world.call()).toBe('three')
    expect(await world.most()).toBe(replicas + 1)
  }, 180_000)

  it('that the program does not take halts, while the version before serves without a failed call', async () => {
    const ended = world.calling()
    await world.rotateBadly()
    const { message } = await world.says('Degraded', 'True', 'Error')
    expect(message).toMatch(/^instance app-[0-9a-f]{4}-\d: exited with code 1; see: mcpctl logs instance\/app-/)
    expect(await world.server()).toMatchObject({ status: { phase: 'Degraded', availableReplicas: replicas } })
    expect((await world.versions()).sort()).toEqual([3, 3, 4])
    expect(await ended()).toMatchObject({ failures: [] })
    expect(world.seen).toEqual(['one', 'two', 'three'])
  }, 180_000)

  it('that halts leaves the others what they had, however often they start', async () => {
    const old = (await copies(world.sandbox, 'app')).filter(({ status }) => status['ready'] === true)
    for (const { status } of old) process.kill(Number(status['handle']), 'SIGKILL')
    await until('they run again', async () => {
      const again = await copies(world.sandbox, 'app')
      return old.every(({ metadata }) => {
        const status = again.find((each) => each.metadata.uid === metadata.uid)?.status
        return status?.['restarts'] === 1 && status['ready'] === true
      })
    })
    expect(await world.call()).toBe('three')
  }, 180_000)

  it('is followed by one that it takes', async () => {
    const ended = world.calling()
    await world.rotate('five')
    await world.holds(5)
    await world.shows('five')
    expect(await ended()).toMatchObject({ failures: [] })
    expect(world.seen).toEqual(['one', 'two', 'three', 'five'])
    expect(await world.says('SecretStale', 'False')).toBeDefined()
    expect(await world.sandbox.must('describe', 'server/app')).toMatch(/SecretStale +False/)
  }, 180_000)

  it('goes on where mcpd was killed in the middle of it', async () => {
    const { sandbox } = world
    await world.rotate('six')
    await until('one has it', async () => (await world.versions()).includes(6), 120_000)
    await sandbox.end('SIGKILL')
    await sandbox.start()
    await world.holds(6)
    await converged(sandbox)
    const client = await overHttp(sandbox, 'servers/app')
    expect(JSON.parse(await client.call('get-env'))).toMatchObject({ TOKEN: 'six' })
    await client.close()
    expect(await world.most()).toBe(replicas + 1)
  }, 180_000)
})
