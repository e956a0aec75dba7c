import { describe, expect, it } from '@jest/globals'
import { createPool } from '@mcpctl/postgres'
import { orderSaga, type OrderState } from '../../../test/support/order-saga'
import { SagaStage, type OrderSagaOptions } from '../../../test/support/saga-stage'
import { Follower } from '../follow/follower'
import { Parked } from '../follow/parked'
import { PostgresEventLog } from '../postgres-event-log'
import { eventually } from '../testing/eventually'
import { faultyLine } from '../testing/faulty-line'
import { outputId } from './saga'
import { SagaRunner } from './saga-runner'

describe('A saga', () => {
  const stage = new SagaStage()
  const { allSent, checkpoint, happens, notes, options, order, pending, start, started, state, stateEvents } = stage

  const setBackTo = (position: number) =>
    stage.database.pool.query('update es.checkpoint set position = $2 where processor = $1 and active', [
      stage.name,
      position,
    ])

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
    expect(stage.sent[0]).toEqual({
      id: outputId(stage.name, first.id, 0),
      saga: stage.name,
      instance: order('a'),
      output: { act: 'act-0', note: 'paid' },
      causationId: first.id,
      position: first.position,
      correlationId: 'c-paid',
    })
    expect((await stateEvents('a'))[0]).toMatchObject({
      type: 'SagaAdvanced',
      category: 'saga',
      meta: { actor: stage.actor, causationId: first.id, correlationId: 'c-paid' },
    })
  })

  it('C52 an event that is handled twice gives outputs with the same ids, and has one effect', async () => {
    const runner = await started()
    await happens('a', 'one', { outputs: 3 })
    await happens('a', 'two')
    await allSent()
    const before = [...stage.sent]
    const states = await stateEvents('a')
    await setBackTo(0)
    await happens('b', 'wakes it')
    await allSent()
    expect(await stateEvents('a')).toEqual(states)
    expect(stage.sent.slice(before.length).map(({ output }) => output.note)).toEqual(['wakes it'])
    expect(await new Parked({ pool: stage.database.pool, projections: [runner.projection] }).list()).toEqual([])
    // A daemon that lost the row of the outbox and the stream of the instance would still send the same ids.
    expect(before.map(({ id }) => id)).toEqual([
      ...[0, 1, 2].map((n) => outputId(stage.name, before[0]!.causationId, n)),
      outputId(stage.name, before[3]!.causationId, 0),
    ])
    expect(new Set(before.map(({ id }) => id)).size).toBe(4)
  })

  it('C52 an event whose handling was cut off at any statement is handled once', async () => {
    const application = `cut-${stage.name}`
    const pool = createPool(stage.database.url, { role: 'mcpd_app', max: 6, applicationName: application })
    stage.opened.push(() => pool.end())
    const owner = await stage.database.connect()
    let kills = 0
    let killing: Promise<unknown> = Promise.resolve()
    const kill = 'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1'
    const saga = orderSaga(stage.name)
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
    expect(new Set(stage.sent.map(({ id }) => id)).size).toBe(20)
    await killing
  })

  it('C52 state, outbox and checkpoint commit together or not at all', async () => {
    let whole = false
    const saga = orderSaga(stage.name)
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
      return (await stage.database.pool.query<{ attempts: number }>(text, [stage.name])).rows[0]!.attempts > 1
    })
    expect(await checkpoint()).toEqual(before)
    expect([await stateEvents('a'), await pending()]).toEqual([[], 0])
    whole = true
    await allSent()
    expect([await state('a'), notes()]).toEqual([{ seen: ['one'] }, ['one']])
  })

  it('sends a message once though it takes longer than a transaction may idle, with two daemons there', async () => {
    const dispatch: OrderSagaOptions['dispatch'] = async (message) => {
      stage.sent.push(message)
      await new Promise((resolve) => setTimeout(resolve, 2_500))
    }
    await started({ dispatch })
    start({ dispatch })
    await happens('a', 'slow')
    await eventually(() => stage.sent.length > 0)
    await allSent()
    expect(notes()).toEqual(['slow'])
  })

  it('outlives the database being away, from the start', async () => {
    const line = await faultyLine(stage.database.url)
    stage.opened.push(line.close)
    const pool = createPool(line.url, { role: 'mcpd_app', max: 6, applicationName: 'far' })
    stage.opened.push(() => pool.end())
    const far = new Follower({ pool, pollMs: 200 })
    stage.opened.push(() => far.stop())
    line.cut()
    await far.start()
    const runner = start({ pool, follower: far, log: new PostgresEventLog({ pool }), history: 'act' })
    await happens('a', 'one')
    await eventually(() => runner.status().status === 'failing')
    line.mend()
    await eventually(() => stage.sent.length === 1)
    line.cut()
    await happens('a', 'two')
    line.mend()
    await eventually(() => notes().includes('two'))
    // Cut off from marking the first one as sent, it may have said it twice.
    expect([...new Set(stage.sent.map(({ id }) => id))]).toHaveLength(2)
    expect([...new Set(notes())]).toEqual(['one', 'two'])
  })

  it('refuses names and versions that would not do', () => {
    for (const saga of [orderSaga('a/b'), orderSaga(''), orderSaga('a', 0), orderSaga('a', 1.5)])
      expect(() => new SagaRunner(options({ saga }))).toThrow()
  })
})
