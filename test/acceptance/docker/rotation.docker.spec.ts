import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { RotationWorld } from '../rotation-world'
import { Engine } from './engine'

const engine = new Engine()
const replicas = 2

describe('a new version of a secret, in containers', () => {
  let world: RotationWorld
  let storeId: string
  beforeAll(async () => {
    world = await RotationWorld.create({ driver: 'auto', env: { MCPD_NODE_IMAGE: 'localhost/mcp-node-base:20' } })
    await world.begin(replicas)
    storeId = (await world.sandbox.api().status()).store.id
  }, 240_000)
  afterAll(async () => {
    await world.sandbox.mcpctl('down', '--all')
    const left = await engine.clear(storeId)
    await world.remove()
    expect(left).toEqual([])
  }, 90_000)

  it('reaches every copy without a failed call; one that is not taken halts, and the next goes on', async () => {
    const ended = world.calling()
    await world.rotate('two')
    await world.holds(2)
    await world.shows('two')
    await world.rotateBadly()
    await world.says('Degraded', 'True', 'Error')
    expect(await world.server()).toMatchObject({ status: { phase: 'Degraded', availableReplicas: replicas } })
    expect(await world.call()).toBe('two')
    await world.rotate('four')
    await world.holds(4)
    await world.shows('four')
    const { failures, rounds } = await ended()
    expect(failures).toEqual([])
    expect(rounds).toBeGreaterThan(20)
    expect(world.seen).toEqual(['one', 'two', 'four'])
    expect(await world.most()).toBe(replicas + 1)
    await engine.converged(world.sandbox)
  }, 300_000)
})
