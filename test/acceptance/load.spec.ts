import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { Sandbox } from '../support/mcpd-process'
import { converged, intact, memory, slotClaims } from './world'

const names = Array.from({ length: 20 }, (_, n) => `memory-${n}`)
const allWith = (replicas: number) => ({ servers: names.map((name) => memory(name, replicas)) })

describe('twenty servers at once', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
  }, 60_000)
  afterAll(() => sandbox.remove(), 60_000)

  it.each([2, 5, 0])(
    'converge to %d copies each',
    async (replicas) => {
      const { results } = await sandbox.api().apply(allWith(replicas))
      expect(results).toHaveLength(names.length)
      await converged(sandbox, 180_000)
      expect(await slotClaims(sandbox)).toBe(replicas * names.length)
      expect(await sandbox.runRecords()).toHaveLength(replicas * names.length)
    },
    200_000,
  )

  it('leave nothing behind', async () => {
    expect((await sandbox.mcpctl('delete', 'servers', '--all', '--yes')).code).toBe(0)
    await converged(sandbox)
    const { store } = await sandbox.api().status()
    expect((await Sandbox.processes(store.id)).size).toBe(0)
    expect(await slotClaims(sandbox)).toBe(0)
    await intact(sandbox)
  }, 60_000)
})
