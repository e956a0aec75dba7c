import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { findByEnv } from '@mcpctl/runtime/process-table'
import { pause, until } from '../support/binaries'
import type { Sandbox } from '../support/mcpd-process'
import { leads, twoDaemons, type Pair } from '../support/two-daemons'
import { converged, copies, everything, intact, memory, rows } from './world'

describe('a leader that is frozen', () => {
  let first: Sandbox
  let second: Sandbox
  let pair: Pair
  beforeAll(async () => {
    pair = await twoDaemons()
    ;[first, second] = [pair.first, pair.second]
  }, 120_000)
  afterAll(() => pair.remove(), 90_000)

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

  it('while a start is due and the server is deleted, does not start it once more', async () => {
    await first.api().apply({ servers: [everything('crashing', 1, { args: ['nonsense'] })] })
    const due = await until('it waits for its next start for long enough', async () => {
      const [instance] = await copies(second, 'crashing')
      const at = Date.parse(String(instance?.status['nextStartAt']))
      return at - Date.now() > 1_500 && at
    })
    await frozen(async () => {
      await second.must('delete', 'server', 'crashing', '--wait=false')
      await pause(due - Date.now())
    })
    await converged(second)
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

  it('in the midst of its starts, leaves no copy beside those of the next leader', async () => {
    await leads(first)
    const names = Array.from({ length: 10 }, (_, n) => `many-${String(n)}`)
    await first.api().apply({ servers: names.map((name) => memory(name, 1)) })
    await frozen(() => leads(second))
    await until('only the copies of the one that leads are left', async () => {
      const [old, current] = [await startedBy(first), await startedBy(second)]
      return old.length === 0 && current.length === names.length
    })
    await converged(second)
    expect(await startedBy(first)).toEqual([])
    await intact(second)
  }, 150_000)
})
