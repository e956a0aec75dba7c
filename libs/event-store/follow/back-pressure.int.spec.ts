import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { bundle } from '../../../test/support/bundle'
import { PostgresEventLog } from '../postgres-event-log'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { event, events, to } from '../testing/event-fixtures'
import { Projecting } from '../testing/projecting'

describe('A projector that is far behind', () => {
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

  it('C51 holds one batch at a time, however far behind it is', async () => {
    await projecting.log.append(to('many', 'any', ...events(3_000)))
    const sizes: number[] = []
    const projector = projecting.start({
      batchSize: 100,
      project: async (tx, batch) => {
        sizes.push(batch.length)
        await projecting.project(tx, batch)
      },
    })
    expect(await projecting.caughtUp(projector)).toBe(true)
    expect(Math.max(...sizes)).toBe(100)
    expect(await projecting.seen()).toEqual(await projecting.everything())
  })

  it('C51 a slow projection keeps its process below 150 MB, whatever the size of the events', async () => {
    const crowd = await testDatabase()
    projecting.later(() => crowd.close())
    const stored = new PostgresEventLog({ pool: crowd.pool })
    // Stored compressed, and not.
    const texts = ['x'.repeat(1_000_000), randomBytes(500_000).toString('hex')]
    for (let i = 0; i < 20; i++) {
      const large = event({ data: { text: texts[i % 2]! } })
      await stored.append(
        to(`s-${i}`, 'any', ...Array.from({ length: 500 }, () => event({ data: { text: 'y'.repeat(3_000) } })), large),
      )
      await stored.append(to(`l-${i}`, 'any', ...events(4).map((each) => ({ ...each, data: large.data }))))
    }
    const head = await stored.head()
    expect(head).toBeGreaterThan(10_000n)
    const script = await bundle('test/support/catching-up-process.ts', 'catching-up-process')
    projecting.later(() => rm(script, { force: true }))
    // With a small nursery, so that what is measured is what it holds and not what nobody has collected yet on a busy machine.
    const flags = ['--max-semi-space-size=4']
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, script, crowd.url, String(head)])
    const report = JSON.parse(stdout) as { megabytes: number }
    expect(report).toMatchObject({ last: String(head), ordered: true })
    expect(report.megabytes).toBeLessThan(150)
  })
})
