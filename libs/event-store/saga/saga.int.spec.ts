import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { createPool } from '@mcpctl/postgres'
import { testDatabase, type TestDatabase } from '../../../test/support/database'
import { orderSaga, type OrderOutput, type OrderState } from '../../../test/support/order-saga'
import { Follower } from '../follow/follower'
import { Parked } from '../follow/parked'
import { PostgresEventLog } from '../postgres-event-log'
import { event, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import { faultyLine } from '../testing/faulty-line'
import type { JsonObject, ProjectedEvent } from '../types'
import { Outbox } from './outbox'
import { instanceStream, outputId, type SagaMessage } from './saga'
import { SagaRunner, type SagaRunnerOptions } from './saga-runner'

type Options = SagaRunnerOptions<OrderState, OrderOutput>

const actor = { uid: '00000000-0000-0000-0000-000000000000', name: 'system:test' }

describe('A saga', () => {
  let database: TestDatabase
  let log: PostgresEventLog
  let follower: Follower
  let outbox: Outbox
  let count = 0
  let name: string
  let sent: SagaMessage<OrderOutput>[]
  const opened: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    database = await testDatabase(40)
    log = new PostgresEventLog({ pool: database.pool })
    follower = new Follower({ pool: database.pool, pollMs: 200 })
    outbox = new Outbox(database.pool)
    await follower.start()
  })
  beforeEach(() => {
    name = `orders-${++count}`
    sent = []
  })
  afterEach(async () => {
    for (const close of opened.splice(0).reverse()) await close()
  })
  afterAll(async () => {
    await follower.stop()
    await database.close()
  })

  const options = (given: Partial<Options> = {}): Options => ({
    saga: orderSaga(name),
    pool: database.pool,
    log,
    follower,
    actor,
    dispatch: async (message) => void sent.push(message),
    ...given,
  })
  const start = (given: Partial<Options> = {}): SagaRunner<OrderState, OrderOutput> => {
    const runner = new SagaRunner(options(given))
    opened.push(() => runner.stop())
    runner.start()
    return runner
  }
  /** Runs, and has seen what is in the log. */
  const started = async (given: Partial<Options> = {}) => {
    const runner = start(given)
    await eventually(async () => (await checkpoint()) !== undefined)
    await caughtUp()
    return runner
  }
  const checkpoint = async () => {
    const text = `select position::int, model_version as generation, live_from::int, fold from es.checkpoint
      where processor = $1 and active`
    const { rows } = await database.pool.query<{
      position: number
      generation: number
      live_from: number
      fold: string
    }>(text, [name])
    return rows[0]
  }
  const caughtUp = () => eventually(async () => BigInt((await checkpoint())?.position ?? -1) === (await log.head()))
  const pending = async () => {
    const text = 'select count(*)::int as pending from es.outbox where processor = $1'
    return (await database.pool.query<{ pending: number }>(text, [name])).rows[0]?.pending
  }
  /** All that has happened was handled, and all that follows from it is done. */
  const allSent = async () => {
    await caughtUp()
    await eventually(async () => (await pending()) === 0)
  }
  const setBackTo = (position: number) =>
    database.pool.query('update es.checkpoint set position = $2 where processor = $1 and active', [name, position])

  /** Orders of this test alone. */
  const order = (id: string) => `${name}-${id}`
  const happens = async (id: string, note: string, data: JsonObject = {}): Promise<ProjectedEvent> => {
    const stored = event({ data: { order: order(id), note, ...data }, meta: { actor, correlationId: `c-${note}` } })
    await log.append(to(`order-${order(id)}`, 'any', stored))
    return (await log.readStream(`order-${order(id)}`)).at(-1) as ProjectedEvent
  }
  const stateEvents = async (id: string) => {
    try {
      return await log.readStream(instanceStream(name, order(id)))
    } catch (error) {
      if (error instanceof DomainError && error.code === 'NotFound') return []
      throw error
    }
  }
  const state = async (id: string) => (await stateEvents(id)).at(-1)?.data.state
  const notes = (id?: string) =>
    sent.filter(({ instance }) => id === undefined || instance === order(id)).map(({ output }) => output.note)

  it('C52 keeps its state in a stream of its own and says each thing once, in order, naming its cause', async () => {
    await started()
    const first = await happens('a', 'paid', { outputs: 2 })
    await allSent()
    await happens('b', 'paid')
    await happens('a', 'shipped')
    await happens('a', 'looked at', { outputs: 0 })
    await allSent()
    expect(await state('a')).toEqual({ seen: ['paid', 'shipped', 'looked at'] })
    expect(await state('b')).toEqual({ seen: ['paid'] })
    expect(notes('a')).toEqual(['paid', 'paid', 'shipped'])
    expect(sent[0]).toEqual({
      id: outputId(name, first.id, 0),
      saga: name,
      instance: order('a'),
      output: { act: 'act-0', note: 'paid' },
      causationId: first.id,
      position: first.position,
      correlationId: 'c-paid',
    })
    expect((await stateEvents('a'))[0]).toMatchObject({
      type: 'SagaAdvanced',
      category: 'saga',
      meta: { actor, causationId: first.id, correlationId: 'c-paid' },
    })
  })

  it('C52 an event that is handled twice gives outputs with the same ids, and has one effect', async () => {
    const runner = await started()
    await happens('a', 'one', { outputs: 3 })
    await happens('a', 'two')
    await allSent()
    const before = [...sent]
    const states = await stateEvents('a')
    await setBackTo(0)
    await happens('b', 'wakes it')
    await allSent()
    expect(await stateEvents('a')).toEqual(states)
    expect(sent.slice(before.length).map(({ output }) => output.note)).toEqual(['wakes it'])
    expect(await new Parked({ pool: database.pool, projections: [runner.projection] }).list()).toEqual([])
    // A daemon that lost the row of the outbox and the stream of the instance would still send the same ids.
    expect(before.map(({ id }) => id)).toEqual([
      ...[0, 1, 2].map((n) => outputId(name, before[0]!.causationId, n)),
      outputId(name, before[3]!.causationId, 0),
    ])
    expect(new Set(before.map(({ id }) => id)).size).toBe(4)
  })

  it('C52 an event whose handling was cut off at any statement is handled once', async () => {
    const application = `cut-${name}`
    const pool = createPool(database.url, { role: 'mcpd_app', max: 6, applicationName: application })
    opened.push(() => pool.end())
    const owner = await database.connect()
    let kills = 0
    let killing: Promise<unknown> = Promise.resolve()
    const kill = 'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1'
    const saga = orderSaga(name)
    await started({
      pool,
      log: new PostgresEventLog({ pool }),
      saga: {
        ...saga,
        // Pure, but for what this test does to the connection behind it: the statements that follow find it gone.
        react: (current, given) => {
          if (kills++ < 4) killing = killing.then(() => owner.query(kill, [application]))
          return saga.react(current, given)
        },
      },
    })
    for (let i = 0; i < 20; i++) await happens('a', `n${i}`)
    await allSent()
    const all = Array.from({ length: 20 }, (_, i) => `n${i}`)
    expect(await state('a')).toEqual({ seen: all })
    // Sent again after a cut, perhaps, but never out of order and never under another id.
    expect([...new Set(notes('a'))]).toEqual(all)
    expect(new Set(sent.map(({ id }) => id)).size).toBe(20)
    await killing
  })

  it('C52 state, outbox and checkpoint commit together or not at all', async () => {
    let whole = false
    const saga = orderSaga(name)
    await started({
      saga: {
        ...saga,
        evolve: (current, given) => (whole ? saga.evolve(current, given) : ({ seen: [NaN] } as unknown as OrderState)),
      },
    })
    const before = await checkpoint()
    await happens('a', 'one')
    await eventually(async () => {
      const text = 'select attempts from es.checkpoint where processor = $1 and active'
      return (await database.pool.query<{ attempts: number }>(text, [name])).rows[0]!.attempts > 1
    })
    expect(await checkpoint()).toEqual(before)
    expect([await stateEvents('a'), await pending()]).toEqual([[], 0])
    whole = true
    await allSent()
    expect([await state('a'), notes()]).toEqual([{ seen: ['one'] }, ['one']])
  })

  describe('C53 that throws in one step', () => {
    const broken = new Set<string>()
    const faulty = () => {
      const saga = orderSaga(name)
      return {
        ...saga,
        react: (current: OrderState, given: ProjectedEvent) => {
          const note = given.data.note as string
          if (broken.has(note)) throw new Error(`no answer to ${note}`)
          return saga.react(current, given)
        },
      }
    }
    beforeEach(() => broken.clear())

    it('C53 still handles the next event, of other instances and of itself', async () => {
      broken.add('bad')
      await started({ saga: faulty() })
      const bad = await happens('a', 'bad')
      await happens('b', 'good')
      await eventually(() => notes('b').length === 1)
      expect(await state('a')).toBeUndefined()
      await happens('c', 'later')
      await allSent()
      expect(notes()).toEqual(['good', 'later'])
      const projection = { name, fold: '1', project: async () => {} }
      const parked = new Parked({ pool: database.pool, projections: [projection] })
      expect(await parked.list(name)).toMatchObject([{ position: bad.position, error: 'no answer to bad' }])
    })

    it('C53 lets later events of the instance wait behind, from whichever stream they come, until it is retried', async () => {
      broken.add('bad')
      const parkedEvents: bigint[] = []
      const runner = await started({
        saga: faulty(),
        onParkedEvent: ({ event: { position } }) => void parkedEvents.push(position),
      })
      await happens('a', 'one')
      const bad = await happens('a', 'bad')
      const other = event({ data: { order: order('a'), note: 'two' } })
      await log.append(to(`payments-${name}`, 'any', other))
      await happens('b', 'good')
      await eventually(() => notes('b').length === 1)
      await log.append(to(`payments-${name}`, 'any', event({ data: { order: order('a'), note: 'three' } })))
      await log.append(to(`payments-${name}`, 'any', event({ data: { order: order('b'), note: 'more' } })))
      await allSent()
      expect([notes('a'), notes('b')]).toEqual([['one'], ['good', 'more']])
      expect(parkedEvents).toEqual([bad.position])
      const parked = new Parked({ pool: database.pool, projections: [runner.projection] })
      expect(await parked.list(name)).toMatchObject([{ position: bad.position, behind: 2 }])
      expect(await parked.retry(name, bad.position)).toMatchObject({ applied: 0, stoppedAt: { type: 'Happened' } })
      await expect(runner.reset()).rejects.toMatchObject({ code: 'Conflict' })
      broken.clear()
      expect(await parked.retry(name, bad.position)).toEqual({ applied: 3 })
      await allSent()
      expect(notes('a')).toEqual(['one', 'bad', 'two', 'three'])
      expect(await state('a')).toEqual({ seen: ['one', 'bad', 'two', 'three'] })
    })

    it('C53 goes on without the event when it is skipped', async () => {
      broken.add('bad')
      const runner = await started({ saga: faulty() })
      const bad = await happens('a', 'bad')
      await happens('a', 'two')
      await happens('b', 'good')
      await eventually(() => notes('b').length === 1)
      const parked = new Parked({ pool: database.pool, projections: [runner.projection] })
      await parked.skip(name, bad.position)
      await happens('a', 'three')
      await allSent()
      expect(notes('a')).toEqual(['two', 'three'])
      expect(await state('a')).toEqual({ seen: ['two', 'three'] })
    })
  })

  it('C53 sends what others say while one message is refused; the rest of its instance waits in order', async () => {
    let refuses = true
    const parkedMessages: string[] = []
    await started({
      maxAttempts: 3,
      onParkedMessage: ({ output }, error) => void parkedMessages.push(`${output.note}: ${error}`),
      dispatch: async (message) => {
        if (refuses && message.output.note === 'bad') throw new Error('refused')
        sent.push(message)
      },
    })
    for (const note of ['one', 'bad', 'two', 'three']) await happens('a', note)
    for (const note of ['x', 'y', 'z']) await happens('b', note)
    await eventually(() => parkedMessages.length === 1)
    await eventually(() => sent.length === 4)
    await happens('b', 'after')
    await eventually(() => sent.length === 5)
    expect([notes('a'), notes('b')]).toEqual([['one'], ['x', 'y', 'z', 'after']])
    expect(parkedMessages).toEqual(['bad: refused'])
    const [stuck] = await outbox.parked(name)
    expect(stuck).toMatchObject({ saga: name, instance: order('a'), error: 'refused', attempts: 3, queued: 2 })
    expect(stuck?.output).toEqual({ act: 'act-0', note: 'bad' })
    await outbox.retry(stuck!.id)
    await eventually(() => parkedMessages.length === 2)
    refuses = false
    await outbox.retry(stuck!.id)
    await allSent()
    expect(notes('a')).toEqual(['one', 'bad', 'two', 'three'])
    await expect(outbox.retry(stuck!.id)).rejects.toMatchObject({ code: 'NotFound' })
  })

  it('C53 gives a message up when it is told to, and goes on with what waits behind it', async () => {
    await started({
      maxAttempts: 1,
      dispatch: async (message) => {
        if (message.output.note === 'bad') throw new Error('refused')
        sent.push(message)
      },
    })
    await happens('a', 'bad')
    await happens('a', 'two')
    await eventually(async () => (await outbox.parked(name)).length === 1)
    await outbox.skip((await outbox.parked(name))[0]!.id)
    await allSent()
    expect(notes('a')).toEqual(['two'])
  })

  it('C53 does not count that the receiver is away, and repeats what takes too long', async () => {
    let tries = 0
    const aborted: boolean[] = []
    await started({
      maxAttempts: 2,
      dispatchTimeoutMs: 100,
      dispatch: async (message, signal) => {
        tries++
        if (tries <= 2) throw new DomainError('Unavailable', 'not now')
        if (tries === 3)
          return new Promise((resolve) => signal.addEventListener('abort', () => resolve(void aborted.push(true))))
        sent.push(message)
      },
    })
    await happens('a', 'one')
    await allSent()
    expect([tries, aborted, notes(), await outbox.parked(name)]).toEqual([4, [true], ['one'], []])
  })

  it('sends a message once though it takes longer than a transaction may idle, with two daemons there', async () => {
    const dispatch: Options['dispatch'] = async (message) => {
      sent.push(message)
      await new Promise((resolve) => setTimeout(resolve, 2_500))
    }
    await started({ dispatch })
    start({ dispatch })
    await happens('a', 'slow')
    await eventually(() => sent.length > 0)
    await allSent()
    expect(notes()).toEqual(['slow'])
  })

  it('C57 that is new to a log learns from what is in it, and acts on what comes after', async () => {
    for (const note of ['one', 'two']) await happens('a', note)
    const head = Number(await log.head())
    await started()
    expect(await checkpoint()).toMatchObject({ generation: 1, live_from: head })
    expect([await state('a'), await pending(), sent]).toEqual([{ seen: ['one', 'two'] }, 0, []])
    await happens('a', 'three')
    await allSent()
    await eventually(() => sent.length === 1)
    expect(notes()).toEqual(['three'])
  })

  it('C57 acts on history where it was made to', async () => {
    for (const note of ['one', 'two']) await happens('a', note)
    await started({ history: 'act' })
    await eventually(() => sent.length === 2)
    expect(notes()).toEqual(['one', 'two'])
  })

  it('C57 that is reset learns its state anew and does nothing again, but for what it had not done yet', async () => {
    let runner = await started()
    for (const note of ['one', 'two']) await happens('a', note)
    await allSent()
    await runner.stop()
    const stood = (await checkpoint())!.position
    // Not handled before the reset, so still to be acted upon.
    await happens('a', 'three')
    await runner.reset()
    expect(await checkpoint()).toMatchObject({ position: 0, generation: 2, live_from: stood })
    sent = []
    runner = await started()
    await allSent()
    await eventually(() => sent.length === 1)
    expect(notes()).toEqual(['three'])
    expect(await state('a')).toEqual({ seen: ['one', 'two', 'three'] })
    sent = []
    await runner.reset()
    await eventually(async () => (await checkpoint())?.generation === 3)
    await caughtUp()
    await happens('a', 'four')
    await allSent()
    await eventually(() => sent.length === 1)
    expect([notes(), await state('a')]).toEqual([['four'], { seen: ['one', 'two', 'three', 'four'] }])
    expect((await stateEvents('a')).map(({ data }) => data.generation)).toContain('1.3')
  })

  it('C57 does nothing about what happened before a restore', async () => {
    await happens('a', 'before')
    const owner = await database.connect()
    const restored = (position: string) => owner.query(`update es.store set live_from = ${position}`)
    await restored('(select max(position) from es.event)')
    try {
      await started({ history: 'act' })
      await happens('a', 'after')
      await eventually(() => sent.length > 0)
      await allSent()
      expect([notes(), await state('a')]).toEqual([['after'], { seen: ['before', 'after'] }])
    } finally {
      await restored('0')
    }
  })

  it('C57 of a higher version learns anew without acting; the lower one stands by and sends nothing', async () => {
    const old = await started({ dispatch: () => Promise.reject(new Error('not yet')), maxAttempts: Infinity })
    await happens('a', 'one')
    await eventually(async () => (await pending()) === 1)
    await caughtUp()
    const byNew: SagaMessage<OrderOutput>[] = []
    const saga = orderSaga(name, 2)
    const evolve: typeof saga.evolve = (before, given) => ({ seen: [...saga.evolve(before, given).seen, 'v2'] })
    start({ saga: { ...saga, evolve }, dispatch: async (message) => void byNew.push(message) })
    await eventually(async () => (await checkpoint())?.fold === '2')
    await eventually(() => old.status().status === 'waiting')
    await allSent()
    expect(await state('a')).toEqual({ seen: ['one', 'v2'] })
    expect(byNew.map(({ output }) => output.note)).toEqual(['one'])
    await happens('a', 'two')
    await eventually(() => byNew.length === 2)
    expect(sent).toEqual([])
  })

  it('outlives the database being away, from the start', async () => {
    const line = await faultyLine(database.url)
    opened.push(line.close)
    const pool = createPool(line.url, { role: 'mcpd_app', max: 6, applicationName: 'far' })
    opened.push(() => pool.end())
    const far = new Follower({ pool, pollMs: 200 })
    opened.push(() => far.stop())
    line.cut()
    await far.start()
    const runner = start({ pool, follower: far, log: new PostgresEventLog({ pool }), history: 'act' })
    await happens('a', 'one')
    await eventually(() => runner.status().status === 'failing')
    line.mend()
    await eventually(() => sent.length === 1)
    line.cut()
    await happens('a', 'two')
    line.mend()
    await eventually(() => notes().includes('two'))
    // Cut off from marking the first one as sent, it may have said it twice.
    expect([...new Set(sent.map(({ id }) => id))]).toHaveLength(2)
    expect([...new Set(notes())]).toEqual(['one', 'two'])
  })

  it('refuses names and versions that would not do', () => {
    for (const saga of [orderSaga('a/b'), orderSaga(''), orderSaga('a', 0), orderSaga('a', 1.5)])
      expect(() => new SagaRunner(options({ saga }))).toThrow()
  })
})
