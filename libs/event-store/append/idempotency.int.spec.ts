import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import type { Pool } from 'pg'
import { v7 as uuidv7 } from 'uuid'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { createPool } from '@mcpctl/postgres'
import { event, events, to } from '../testing/event-fixtures'
import { faultyLine } from '../testing/faulty-line'
import { PostgresEventLog } from '../postgres-event-log'
import type { ExpectedVersion, NewEvent } from '../types'

describe('Appending the same events again', () => {
  let database: TestDatabase
  let log: PostgresEventLog
  let stream: string
  let streams = 0

  beforeAll(async () => {
    database = await testDatabase()
    log = new PostgresEventLog({ pool: database.pool })
  })
  afterAll(() => database.close())
  beforeEach(() => {
    stream = `stream-${++streams}`
  })

  const append = async (expected: ExpectedVersion, ...given: NewEvent[]) =>
    (await log.append(to(stream, expected, ...given))).status
  const count = async () => (await log.readStream(stream)).length
  const sixInARow = async () => {
    const six = events(6)
    for (const [version, one] of six.entries()) expect(await append(version, one)).toBe('ok')
    return six as [NewEvent, ...NewEvent[]]
  }

  it('C19 at the version of the first time is a duplicate', async () => {
    const [first] = await sixInARow()
    expect(await append(0, first)).toBe('duplicate')
    expect(await count()).toBe(6)
  })

  it('C20 at any version is a duplicate, also for a process that never saw it', async () => {
    const [first] = await sixInARow()
    expect(await append('any', first)).toBe('duplicate')
    const restarted = new PostgresEventLog({ pool: database.pool })
    const [stored] = await log.readStream(stream)
    expect(await restarted.append(to(stream, 'any', first))).toEqual({
      status: 'duplicate',
      first: stored?.position,
      last: stored?.position,
      result: null,
    })
    expect(await count()).toBe(6)
  })

  it('C21 at the end of the stream is refused, where KurrentDB stores it again: here an id is used once for ever', async () => {
    const [first] = await sixInARow()
    const verdict = await log.append(to(stream, 6, first))
    expect(verdict).toMatchObject({ status: 'conflict', actual: 6 })
    expect(verdict).toHaveProperty('message', expect.stringContaining('id already used'))
    expect(await count()).toBe(6)
  })

  it('C22 at a wrong version is refused', async () => {
    const [first] = await sixInARow()
    expect(await append(7, first)).toBe('conflict')
    expect(await append(5, first)).toBe('conflict')
    expect(await count()).toBe(6)
  })

  it('C23 is a duplicate from the second time on', async () => {
    const one = event()
    expect(await append(0, one)).toBe('ok')
    expect(await append(0, one)).toBe('duplicate')
    expect(await append('none', one)).toBe('duplicate')
    expect(await append('any', one)).toBe('duplicate')
    expect(await count()).toBe(1)
  })

  it('C24 in parts is a duplicate where the parts are', async () => {
    const [one, two] = [event(), event()]
    expect(await append(0, one, two)).toBe('ok')
    expect(await append(0, one)).toBe('duplicate')
    expect(await append(1, two)).toBe('duplicate')
    expect(await append('any', one)).toBe('duplicate')
    expect(await append('any', two)).toBe('duplicate')
    expect(await append('exists', two)).toBe('duplicate')
    expect(await count()).toBe(2)
  })

  it('C25 together with new ones is refused', async () => {
    const [one, two, three] = [event(), event(), event()]
    expect(await append(0, one, two)).toBe('ok')
    expect(await append(0, one, two, three)).toBe('conflict')
    expect(await append('any', one, two, three)).toBe('conflict')
    expect(await append('any', two, one)).toBe('conflict')
    expect(await count()).toBe(2)
  })

  it('C26 to another stream is refused', async () => {
    const one = event()
    expect(await append('any', one)).toBe('ok')
    const verdict = await log.append(to(`${stream}-other`, 'any', one))
    expect(verdict).toMatchObject({ status: 'conflict', streamId: `${stream}-other`, actual: 0 })
    expect(await log.readStream(`${stream}-other`)).toEqual([])
  })

  it('an id twice in one request is refused', async () => {
    const one = event()
    expect(await append('any', one, one)).toBe('conflict')
    expect(await count()).toBe(0)
  })

  it('a request over several streams is a duplicate as a whole or not at all', async () => {
    const [one, two] = [event(), event()]
    const [a] = to(stream, 'none', one).streams
    const [b] = to(`${stream}-b`, 'any', two).streams
    expect((await log.append({ streams: [a!, b!] })).status).toBe('ok')
    expect((await log.append({ streams: [a!, b!] })).status).toBe('duplicate')
    expect((await log.append({ streams: [a!, ...to(`${stream}-b`, 'any', event()).streams] })).status).toBe('conflict')
  })

  it('C26 to another stream is refused in the same flush as well', async () => {
    const one = event()
    const verdicts = await Promise.all([
      log.append(to(stream, 'any', one)),
      log.append(to(`${stream}-other`, 'any', one)),
    ])
    expect(verdicts.map(({ status }) => status)).toEqual(['ok', 'conflict'])
    expect(await log.readStream(`${stream}-other`)).toEqual([])
  })

  describe('when the connection breaks after the commit was sent', () => {
    let line: Awaited<ReturnType<typeof faultyLine>>
    let pool: Pool
    let behind: PostgresEventLog

    beforeEach(async () => {
      line = await faultyLine(database.url)
      pool = createPool(line.url, { role: 'mcpd_app', max: 1, applicationName: 'test' })
      behind = new PostgresEventLog({ pool })
      expect(await behind.head()).toBe(await log.head())
    })
    afterEach(async () => {
      await pool.end()
      await line.close()
    })
    const command = () => ({ id: uuidv7(), requestHash: 'aa', result: { changed: true } })

    it('C28 the same events are a duplicate at their first position', async () => {
      const request = to(stream, 'none', event())
      line.loseAnswers()
      await expect(behind.append(request)).rejects.toMatchObject({ code: 'Unavailable' })
      const [stored] = await log.readStream(stream)
      expect(await log.append(request)).toMatchObject({ status: 'duplicate', first: stored?.position })
      expect(await count()).toBe(1)
    })

    it('C28 the same command is answered as the first time, whatever it would decide now', async () => {
      const asked = command()
      line.loseAnswers()
      await expect(behind.append({ ...to(stream, 'none', event()), command: asked })).rejects.toMatchObject({
        code: 'Unavailable',
      })
      const { position } = (await log.readStream(stream))[0]!
      line.mend()
      expect(await behind.append({ ...to(stream, 'none', ...events(2)), command: asked })).toEqual({
        status: 'duplicate',
        first: position,
        last: position,
        result: { changed: true },
      })
      expect(await count()).toBe(1)
    })

    it("C28 so is a command whose append was part of the caller's transaction", async () => {
      const asked = command()
      const request = () => ({ ...to(stream, 'none', event()), command: asked })
      const tx = await pool.connect()
      await tx.query('begin')
      expect(await behind.appendWithin(tx, request())).toMatchObject({ status: 'ok' })
      line.loseAnswers()
      await expect(tx.query('commit')).rejects.toThrow(/terminated/)
      tx.release(true)
      const { position } = (await log.readStream(stream))[0]!
      expect(await log.append(request())).toMatchObject({ status: 'duplicate', first: position, last: position })
      expect(await count()).toBe(1)
    })

    it('C28 and what broke before the commit was sent is stored by the retry, once', async () => {
      const asked = command()
      const request = () => ({ ...to(stream, 'none', event()), command: asked })
      const tx = await pool.connect()
      await tx.query('begin')
      await behind.appendWithin(tx, request())
      line.cut()
      await expect(tx.query('commit')).rejects.toThrow(/terminated/)
      tx.release(true)
      expect(await log.append(request())).toMatchObject({ status: 'ok' })
      expect(await log.append(request())).toMatchObject({ status: 'duplicate' })
      expect(await count()).toBe(1)
    })
  })
})
