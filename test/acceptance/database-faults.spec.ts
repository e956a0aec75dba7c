import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { join } from 'node:path'
import { pause, until } from '../support/binaries'
import { overHttp, throughMcplocal, type ToolClient } from '../support/mcp-clients'
import { Sandbox } from '../support/mcpd-process'
import { converged, everything, intact, memory, packageOf, rows } from './world'

/** An acknowledgement without a uid: the read models lag behind a database that has just come back. */
const committed = 'committed'

describe('a database that dies', () => {
  let sandbox: Sandbox
  let client: ToolClient
  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
    await sandbox.api().apply({ servers: [memory('a', 2)], projects: [{ name: 'team', servers: ['a'] }] })
    await converged(sandbox)
    client = await throughMcplocal(sandbox, 'team')
  }, 120_000)
  afterAll(() => sandbox.remove(), 60_000)

  /** One attempt, without the retries of our client. Answers the uid that was acknowledged, `committed` when it is not visible yet (202), else the status. */
  const write = async (name: string): Promise<string | number> => {
    const { server, token } = sandbox.context()
    const answer = await fetch(`${server}/api/v1/apply`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ projects: [{ name, servers: [] }] }),
      signal: AbortSignal.timeout(20_000),
    })
    const body = (await answer.json()) as { results?: { uid: string }[] }
    if (answer.status === 202) return committed
    return answer.status === 200 ? (body.results?.[0]?.uid ?? '') : answer.status
  }

  /** Writers that go on whatever happens; `others` holds every answer that was no acknowledgement. */
  const writers = (count: number, prefix: string) => {
    const acknowledged = new Map<string, string>()
    const others: (number | string)[] = []
    let ending = false
    const writeOn = async (who: number) => {
      for (let n = 0; !ending; n++) {
        const name = `${prefix}-${who}-${n}`
        const answer = await write(name).catch((error: unknown) => error as Error)
        if (typeof answer === 'string') acknowledged.set(name, answer)
        else others.push(typeof answer === 'number' ? answer : answer.message)
        if (typeof answer !== 'string') await pause(5)
      }
    }
    const all = Promise.all(Array.from({ length: count }, (_, who) => writeOn(who)))
    return {
      acknowledged,
      others,
      end: async () => {
        ending = true
        await all
      },
    }
  }

  /** Every instance with its process, and how often it was started again. */
  const running = async () => {
    const { items } = await sandbox.api().list('instances')
    const found = items.map(
      ({ metadata, status }) => `${metadata.name} ${String(status['handle'])} ${String(status['restarts'])}`,
    )
    return found.toSorted()
  }

  const lost = async (acknowledged: Map<string, string>) => {
    const { items } = await sandbox.api().list('projects')
    const found = new Map(items.map(({ metadata }) => [metadata.name, metadata.uid]))
    return [...acknowledged].filter(([name, uid]) => (uid === committed ? !found.has(name) : found.get(name) !== uid))
  }

  it('is not noticed by what runs: processes, their memory and the sessions of clients', async () => {
    const thinking = { name: 'thinking', package: packageOf('sequential-thinking'), transport: 'stdio', replicas: 1 }
    const web = everything('web', 1, { transport: 'http', args: ['streamableHttp'], path: '/mcp' })
    const graph = [{ name: 'MEMORY_FILE_PATH', value: join(await sandbox.folder('files'), 'graph.jsonl') }]
    const servers = [thinking, web, memory('graph', 1, { env: graph })]
    await sandbox.api().apply({ servers, projects: [{ name: 'all', servers: ['thinking', 'web', 'graph'] }] })
    await converged(sandbox)
    const sessions = [await throughMcplocal(sandbox, 'all'), await overHttp(sandbox, 'projects/all')]
    const think = async (session: ToolClient, n: number) => {
      const thought = { thought: `${n}`, nextThoughtNeeded: true, thoughtNumber: n, totalThoughts: 100 }
      const answer = await session.call('thinking__sequentialthinking', thought)
      return (JSON.parse(answer) as { thoughtHistoryLength: number }).thoughtHistoryLength
    }
    const entities = [{ name: 'mcpctl', entityType: 'program', observations: ['runs on'] }]
    await sessions[0]?.call('graph__create_entities', { entities })
    let thoughts = 0
    for (const session of sessions) expect(await think(session, thoughts + 1)).toBe(++thoughts)
    const before = await running()
    expect(before).toHaveLength(5)
    for (let round = 0; round < 2; round++) {
      const pid = await sandbox.postmaster()
      process.kill(pid, 'SIGKILL')
      await until('another PostgreSQL runs', async () => (await sandbox.postmaster()) !== pid)
      await until('the daemon leads again', async () => (await sandbox.api().status()).leader.self)
      await converged(sandbox)
      for (const session of sessions) {
        expect(await think(session, thoughts + 1)).toBe(++thoughts)
        expect(await session.call('graph__read_graph')).toContain('runs on')
        expect(await session.call('web__echo', { message: 'still' })).toBe('Echo: still')
      }
      expect(await running()).toEqual(before)
    }
    const ended = "select type from es.event where type in ('InstanceExited', 'InstanceRestarted', 'InstanceStopped')"
    expect(await rows(sandbox, ended)).toEqual([])
    expect(await sandbox.must('get', 'instances', '--no-headers')).not.toMatch(/Running +[1-9]/)
    for (const session of sessions) await session.close()
  }, 120_000)

  it('loses no acknowledged write, comes back by itself, and the daemon says 503 until then', async () => {
    const { acknowledged, others, end } = writers(4, 'write')
    for (let round = 0; round < 4; round++) {
      const before = acknowledged.size
      await until('writes are acknowledged', () => acknowledged.size > before + 10)
      await pause(round * 37)
      const pid = await sandbox.postmaster()
      process.kill(pid, 'SIGKILL')
      await until('another PostgreSQL runs', async () => (await sandbox.postmaster()) !== pid)
    }
    const before = acknowledged.size
    await until('writes are acknowledged again', () => acknowledged.size > before + 10)
    await end()
    expect(await lost(acknowledged)).toEqual([])
    expect(new Set(others)).toEqual(new Set([503]))
    expect(sandbox.daemon?.exitCode).toBeNull()
    await converged(sandbox)
    await intact(sandbox)
    expect(await client.call('a__read_graph')).toContain('entities')
  }, 120_000)

  it('at the same moment as the daemon, loses nothing either', async () => {
    const { acknowledged, others, end } = writers(4, 'both')
    for (const first of ['daemon', 'database'] as const) {
      const before = acknowledged.size
      await until('writes are acknowledged', () => acknowledged.size > before + 10)
      const pid = await sandbox.postmaster()
      if (first === 'database') process.kill(pid, 'SIGKILL')
      const ended = sandbox.end('SIGKILL')
      if (first === 'daemon') process.kill(pid, 'SIGKILL')
      await ended
      await sandbox.start()
    }
    const before = acknowledged.size
    await until('writes are acknowledged again', () => acknowledged.size > before + 10)
    await end()
    expect(await lost(acknowledged)).toEqual([])
    // The daemon that dies says nothing; the one that has lost its database says 503.
    expect(others.filter((answer) => typeof answer === 'number' && answer !== 503)).toEqual([])
    await converged(sandbox)
    await intact(sandbox)
    expect(await client.call('a__read_graph')).toContain('entities')
  }, 120_000)
})
