import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { until } from '../support/binaries'
import { instanceOf, overHttp, throughMcplocal } from '../support/mcp-clients'
import { Sandbox } from '../support/mcpd-process'
import { converged, copies, everything } from './world'

describe('calls and copies', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
    const manifest = { servers: [everything('many', 3)], projects: [{ name: 'team', servers: ['many'] }] }
    await sandbox.api().apply(manifest)
    await converged(sandbox)
  }, 120_000)
  afterAll(() => sandbox.remove(), 60_000)

  const uids = async () => (await copies(sandbox, 'many')).map(({ metadata }) => metadata.uid).toSorted()

  it('of one session stay with one copy, those of many spread over all that are ready', async () => {
    const local = await throughMcplocal(sandbox, 'team')
    const answered = new Set<string>()
    for (let n = 0; n < 10; n++) answered.add(instanceOf(await local.call('many__get-env')))
    expect([...answered]).toHaveLength(1)
    await local.close()
    const clients = await Promise.all(Array.from({ length: 9 }, () => overHttp(sandbox, 'servers/many')))
    const each = await Promise.all(clients.map((one) => one.call('get-env')))
    const calls = (await uids()).map((uid) => each.filter((one) => instanceOf(one) === uid).length)
    expect(calls).toEqual([3, 3, 3])
    await Promise.all(clients.map((one) => one.close()))
  })

  it('do not see the answers of other sessions', async () => {
    const clients = await Promise.all(Array.from({ length: 6 }, () => overHttp(sandbox, 'projects/team')))
    const answers = await Promise.all(
      clients.flatMap((client, who) =>
        Array.from({ length: 20 }, async (_, n) => {
          const message = `client ${who} says ${n}`
          return [message, await client.call('many__echo', { message })]
        }),
      ),
    )
    for (const [message, answer] of answers) expect(answer).toBe(`Echo: ${message}`)
    await Promise.all(clients.map((client) => client.close()))
  })

  it('go on when a copy was killed', async () => {
    const client = await throughMcplocal(sandbox, 'team')
    const { store } = await sandbox.api().status()
    for (let round = 0; round < 3; round++) {
      const uid = instanceOf(await client.call('many__get-env'))
      const [pid = 0] = (await Sandbox.processes(store.id)).get(uid) ?? []
      process.kill(pid, 'SIGKILL')
      // Sent into the dying process, a call may have had its effect; it is not sent twice, and its error says so.
      await client.call('many__echo', { message: 'first' }).catch((error: unknown) => {
        expect(String(error)).toMatch(/may or may not have taken effect; call again/)
      })
      for (let n = 0; n < 10; n++) expect(await client.call('many__echo', { message: `${n}` })).toBe(`Echo: ${n}`)
      await converged(sandbox)
    }
    const restarts = (await copies(sandbox, 'many')).map(({ status }) => status['restarts'] as number)
    expect(restarts.reduce((sum, each) => sum + each)).toBe(3)
    await client.close()
  }, 90_000)

  it('are refused in words when there is no copy, and go on in the same session when one is back', async () => {
    const client = await throughMcplocal(sandbox, 'team')
    await sandbox.must('scale', 'server/many', '--replicas=0')
    await converged(sandbox)
    await expect(client.call('many__echo', { message: 'x' })).rejects.toThrow(/many/)
    await sandbox.must('scale', 'server/many', '--replicas=1')
    await converged(sandbox)
    const answer = await until('it answers again', () => client.call('many__echo', { message: 'back' }))
    expect(answer).toBe('Echo: back')
    await client.close()
  }, 90_000)
})
