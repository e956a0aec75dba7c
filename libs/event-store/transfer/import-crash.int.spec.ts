import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { Client } from 'pg'
import { bundle as bundleFile } from '../../../test/support/bundle'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { createPool } from '@mcpctl/postgres'
import { verifyLog } from '../chain/verify-log'
import { PostgresEventLog } from '../postgres-event-log'
import { event, events, take, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { exported, fileOf } from '../testing/export-file'
import { faultyLine } from '../testing/faulty-line'
import { importEvents } from './import'

const state = `select (select count(*) from es.event)::int as events, (select count(*) from es.claim)::int as claims,
  (select row(id, origin_id, epoch, live_from)::text from es.store) as store`
const backend = `select pid from pg_stat_activity where application_name = 'importing' and datname = current_database()`

describe('An import that does not come to its end', () => {
  let source: TestDatabase
  let bundle: string
  let file: Buffer

  beforeAll(async () => {
    bundle = await bundleFile('test/support/import-process.ts', 'import-process')
    source = await testDatabase()
    const log = new PostgresEventLog({ pool: source.pool })
    await log.append(to('first', 'none', event({ claims: [take('x')] })))
    for (let i = 0; i < 5; i++) await log.append(to(`s-${i}`, 'none', ...events(1000)))
    file = Buffer.from(await exported(source.pool))
  })
  afterAll(async () => {
    await source.close()
    await rm(bundle, { force: true })
  })

  let target: TestDatabase
  let owner: Client
  let empty: object
  let importer: ChildProcess | undefined
  beforeEach(async () => {
    target = await testDatabase()
    owner = await target.connect()
    empty = (await owner.query<object>(state)).rows[0]!
  })
  afterEach(async () => {
    importer?.kill('SIGKILL')
    importer = undefined
    await target.close()
  })

  /** The store is as it was, and takes the whole log as if nothing had been. */
  const isAsBefore = async () => {
    await eventually(async () => (await owner.query(backend)).rowCount === 0)
    expect((await owner.query(state)).rows[0]).toEqual(empty)
    expect((await owner.query(`select from pg_class where relname = 'es_import'`)).rowCount).toBe(0)
    await importEvents(target.pool, fileOf(file))
    expect(await verifyLog(target.pool)).toMatchObject({ ok: true, head: 5001n })
  }

  const start = () => {
    const child = spawn(process.execPath, [bundle, target.url], { stdio: ['pipe', 'pipe', 'pipe'] })
    child.stdin.on('error', () => {})
    importer = child
    const lines: string[] = []
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
    const errors: Buffer[] = []
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
    return { child, lines, errors, said: (word: string) => eventually(() => lines.some((line) => line.includes(word))) }
  }

  type Importing = ReturnType<typeof start>

  const kill = async (child: ChildProcess) => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  it.each([0, 0.3, 0.7, 1])('C82 the importing process is killed after %p of the file', async (part) => {
    const { child, said } = start()
    await eventually(async () => (await owner.query(backend)).rowCount === 1)
    if (part > 0) {
      child.stdin.write(file.subarray(0, Math.floor(part * file.length)))
      await said('read')
    }
    await kill(child)
    await isAsBefore()
  })

  /** An import held up where it has read everything and wants to write, so that its backend surely is within a statement. */
  const whileStoring = async (act: (importing: Importing) => Promise<void>) => {
    await owner.query('begin; lock table es.claim in access exclusive mode')
    const importing = start()
    importing.child.stdin.end(file)
    const waiting = `${backend} and wait_event_type = 'Lock'`
    const other = await target.connect()
    await eventually(async () => (await other.query(waiting)).rowCount === 1)
    await act(importing)
    await owner.query('commit')
    await isAsBefore()
  }

  const fails = async ({ child, errors }: Importing) => {
    const [code] = (await once(child, 'close')) as [number]
    expect(code).not.toBe(0)
    expect(Buffer.concat(errors).toString()).toContain('Unavailable')
  }

  it('C82 the importing process is killed while the log is being stored', async () => {
    await whileStoring(({ child }) => kill(child))
  })

  it('C82 its statement is cancelled while the log is being stored', async () => {
    await whileStoring(async (importing) => {
      await owner.query(`select pg_cancel_backend(pid) from (${backend}) b`)
      await fails(importing)
    })
  })

  it('C82 its backend is ended in the middle of the file', async () => {
    const importing = start()
    importing.child.stdin.write(file.subarray(0, file.length >> 1))
    await importing.said('read')
    await owner.query(`select pg_terminate_backend(pid) from (${backend}) b`)
    importing.child.stdin.end(file.subarray(file.length >> 1))
    await fails(importing)
    await isAsBefore()
  })

  it('C82 the line breaks, once in the middle and once before the commit is known', async () => {
    const line = await faultyLine(target.url)
    const pool = createPool(line.url, { role: 'mcpd_app', max: 1, applicationName: 'importing' })
    try {
      const cutting = async function* () {
        yield file.subarray(0, file.length >> 1)
        line.cut()
        yield file.subarray(file.length >> 1)
      }
      await expect(importEvents(pool, cutting())).rejects.toMatchObject({ code: 'Unavailable' })
    } finally {
      await pool.end()
      await line.close()
    }
    await isAsBefore()
  })

  it('C82 the source breaks, and its own error comes out', async () => {
    const breaking = async function* () {
      yield file.subarray(0, file.length >> 1)
      throw new Error('the disk is gone')
    }
    await expect(importEvents(target.pool, breaking())).rejects.toThrow('the disk is gone')
    await isAsBefore()
  })
})
