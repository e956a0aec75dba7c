import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { findByEnv } from '@mcpctl/runtime/process-table'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pause, undo, until } from '../support/binaries'
import type { Sandbox } from '../support/mcpd-process'
import { SlowRegistry } from '../support/slow-registry'
import { leads, twoDaemons, type Pair } from '../support/two-daemons'
import { converged, copies, intact, memory, rows } from './world'

describe('a leader that is frozen', () => {
  let first: Sandbox
  let second: Sandbox
  let pair: Pair
  let registry: SlowRegistry
  const cleanUps: (() => Promise<unknown>)[] = []
  beforeAll(async () => {
    registry = await SlowRegistry.open()
    cleanUps.push(() => registry.close())
    pair = await twoDaemons({ sharedPackages: false, env: registry.env() })
    cleanUps.push(() => pair.remove())
    ;[first, second] = [pair.first, pair.second]
  }, 120_000)
  afterAll(() => undo(cleanUps), 90_000)

  const frozen = async (act: () => Promise<unknown>) => {
    first.daemon?.kill('SIGSTOP')
    try {
      await act()
    } finally {
      first.daemon?.kill('SIGCONT')
    }
  }

  /** Living processes that a daemon has started for the store. */
  const startedBy = async ({ daemon }: Sandbox) => {
    const all = await findByEnv({ MCPCTL_STORE: (await second.api().status()).store.id })
    return all.filter(({ env }) => env.get('MCPCTL_OWNER')?.startsWith(`${String(daemon?.pid)}@`))
  }

  /** Each run of an instance leaves a file, even one that ends before anything is recorded of it. */
  const runs = async () => {
    const directories = [first, second].map(({ data }) => join(data, 'instances', 'process', 'logs'))
    return (await Promise.all(directories.map((each) => readdir(each)))).flat().toSorted()
  }

  it('while a start is due and the server is deleted, does not start it once more', async () => {
    const crashing = {
      name: 'crashing',
      package: 'npm:semver@7.8.1',
      transport: 'stdio',
      args: ['nonsense'],
      replicas: 1,
    }
    await first.api().apply({ servers: [crashing] })
    const due = await until('it waits for its next start for long enough', async () => {
      const [instance] = await copies(second, 'crashing')
      const at = Date.parse(String(instance?.status['nextStartAt']))
      return at - Date.now() > 1_500 && at
    })
    const before = await runs()
    expect(before.length).toBeGreaterThan(1)
    await frozen(async () => {
      await second.must('delete', 'server', 'crashing', '--wait=false')
      await pause(due - Date.now() + 200)
    })
    await converged(second)
    expect(await runs()).toEqual(before)
    const events = await rows<{ type: string }>(
      second,
      "select type from es.event where category in ('server', 'instance') order by position",
    )
    const types = events.map(({ type }) => type)
    const deletion = types.indexOf('ServerDeletionRequested')
    expect(types.slice(0, deletion)).toContain('InstanceRestarted')
    expect(types.slice(deletion)).toEqual(expect.arrayContaining(['InstanceStopped', 'ServerDeleted']))
    expect(types.slice(deletion).filter((type) => ['InstanceStarted', 'InstanceRestarted'].includes(type))).toEqual([])
  }, 60_000)

  it('while starts wait for their package, does not start them beside those of the next leader', async () => {
    await leads(first)
    const name = '@modelcontextprotocol/server-memory'
    const install = registry.hold(name)
    const names = Array.from({ length: 10 }, (_, n) => `many-${String(n)}`)
    await first.api().apply({ servers: names.map((server) => memory(server, 1)) })
    await install.isAwaited()
    await frozen(() => leads(second))
    await until('it knows that it leads no more', async () => {
      const { leader } = await first.api().status()
      return leader.address === second.context().server
    })
    registry.release(name)
    const isInstalled = async ({ data }: Sandbox) =>
      (await readdir(join(data, 'instances', 'packages'))).some((each) => each.startsWith('@modelcontextprotocol+'))
    for (const each of [first, second]) await until('the package is there', () => isInstalled(each))
    await converged(second)
    await second.api().apply({ servers: [memory('many-0', 2)] })
    await converged(second)
    expect(await startedBy(first)).toEqual([])
    expect(await startedBy(second)).toHaveLength(names.length + 1)
    await intact(second)
  }, 150_000)
})
