import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { bundle } from '../../../test/support/bundle'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { takenOverWithinMs } from '../../../test/support/deadlines'
import { PostgresEventLog } from '../postgres-event-log'
import { event, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { seeded } from '../testing/seeded'
import type { ProjectedEvent } from '../types'
import { instanceStream, outputId } from './saga'

interface Line {
  runs?: true
  sent?: string
}

interface Effect {
  id: string
  process: string
  note: string
}

describe('A saga in several processes', () => {
  let database: TestDatabase
  let log: PostgresEventLog
  let script: string
  let name: string
  let count = 0
  const children: ChildProcess[] = []

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
    script = await bundle('test/support/saga-process.ts', 'saga-process')
    await database.pool.query(
      'create table rm.effect (nth bigint generated always as identity, id uuid, process text, note text)',
    )
  })
  beforeEach(() => {
    name = `daemons-${++count}`
  })
  afterEach(async () => {
    for (const child of children.splice(0)) await kill(child)
  })
  afterAll(async () => {
    await rm(script, { force: true })
    await database.close()
  })

  const kill = async (child: ChildProcess) => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  const daemon = async (application: string, holds = '') => {
    const child = spawn(process.execPath, [script, database.url, name, `${name}-${application}`, holds], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.push(child)
    const lines: Line[] = []
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as Line))
    await eventually(() => lines.some(({ runs }) => runs))
    return { child, sent: () => lines.flatMap(({ sent }) => sent ?? []) }
  }
  const happens = async (note: string, instance = 'a') => {
    const stored = event({ data: { order: `${name}-${instance}`, note } })
    await log.append(to(`order-${name}-${instance}`, 'any', stored))
    return outputId(name, stored.id, 0)
  }
  const effects = async (): Promise<Effect[]> => {
    const text = 'select id::text, process, note from rm.effect where process like $1 order by nth'
    return (await database.pool.query<Effect>(text, [`${name}-%`])).rows
  }
  const pending = async () => {
    const text = 'select count(*)::int as pending from es.outbox where processor = $1'
    return (await database.pool.query<{ pending: number }>(text, [name])).rows[0]?.pending
  }
  const notes = async () => (await effects()).map(({ note }) => note)
  const states = async () =>
    (await log.readStream(instanceStream(name, `${name}-a`))).map(({ data }: ProjectedEvent) => data.state)

  it('C52 sends again, under the same id, what a process that was killed had sent and not marked', async () => {
    const first = await daemon('first', 'holds')
    const [one, two] = [await happens('one'), await happens('two')]
    await eventually(() => first.sent().length === 1)
    await kill(first.child)
    expect(await effects()).toEqual([{ id: one, process: `${name}-first`, note: 'one' }])
    await daemon('second')
    await eventually(async () => (await effects()).length === 3)
    await eventually(async () => (await pending()) === 0)
    expect(await effects()).toEqual([
      { id: one, process: `${name}-first`, note: 'one' },
      { id: one, process: `${name}-second`, note: 'one' },
      { id: two, process: `${name}-second`, note: 'two' },
    ])
  })

  it('C52 folds each event once and loses nothing, though its process is killed at any moment, ten times', async () => {
    const random = seeded(52)
    const expected: string[] = []
    const noted: string[] = []
    for (let round = 0; round < 10; round++) {
      const { child } = await daemon(`round-${round}`)
      for (let i = 0; i < 5; i++) {
        noted.push(`${round}.${i}`)
        expected.push(await happens(`${round}.${i}`))
      }
      await new Promise((resolve) => setTimeout(resolve, random() * 150))
      await kill(child)
    }
    await daemon('last')
    await eventually(async () => new Set((await effects()).map(({ id }) => id)).size === expected.length)
    await eventually(async () => (await pending()) === 0)
    expect([...new Set((await effects()).map(({ id }) => id))]).toEqual(expected)
    expect((await states()).at(-1)).toEqual({ seen: noted })
  })

  it.each([
    ['is killed', 'SIGKILL'],
    ['freezes', 'SIGSTOP'],
  ] as const)('C47 another one takes over within two seconds when the one that is sending %s', async (_, signal) => {
    const holder = await daemon('holder', 'holds')
    const one = await happens('one')
    await eventually(() => holder.sent().length === 1)
    const heir = await daemon('heir')
    await happens('elsewhere', 'b')
    await eventually(async () => (await notes()).includes('elsewhere'))
    expect(heir.sent()).not.toContain(one)
    const killed = performance.now()
    holder.child.kill(signal)
    await eventually(() => heir.sent().includes(one))
    expect(performance.now() - killed).toBeLessThan(takenOverWithinMs)
    await happens('two')
    await eventually(async () => (await notes()).includes('two'))
    expect((await states()).at(-1)).toEqual({ seen: ['one', 'two'] })
  })

  it('C52 two processes do each thing once, and in order', async () => {
    await Promise.all([daemon('left'), daemon('right')])
    const expected: string[] = []
    for (let i = 0; i < 60; i++) expected.push(await happens(`n${i}`))
    await eventually(async () => (await effects()).length === expected.length)
    await eventually(async () => (await pending()) === 0)
    expect((await effects()).map(({ id }) => id)).toEqual(expected)
    expect((await states()).at(-1)).toEqual({ seen: expected.map((_, i) => `n${i}`) })
  })
})
