import { describe, expect, it } from '@jest/globals'
import { orderSaga, type OrderOutput } from '../../../test/support/order-saga'
import { SagaStage } from '../../../test/support/saga-stage'
import { eventually } from '../testing/eventually'
import { type SagaMessage } from './saga'

describe('The past of a saga', () => {
  const stage = new SagaStage()
  const { allSent, caughtUp, checkpoint, happens, notes, pending, start, started, state, stateEvents } = stage

  it('C57 that is new to a log learns from what is in it, and acts on what comes after', async () => {
    for (const note of ['one', 'two']) await happens('a', note)
    const head = Number(await stage.log.head())
    await started()
    expect(await checkpoint()).toMatchObject({ generation: 1, live_from: head })
    expect([await state('a'), await pending(), stage.sent]).toEqual([{ seen: ['one', 'two'] }, 0, []])
    await happens('a', 'three')
    await allSent()
    await eventually(() => stage.sent.length === 1)
    expect(notes()).toEqual(['three'])
  })

  it('C57 acts on history where it was made to', async () => {
    for (const note of ['one', 'two']) await happens('a', note)
    await started({ history: 'act' })
    await eventually(() => stage.sent.length === 2)
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
    stage.sent = []
    runner = await started()
    await allSent()
    await eventually(() => stage.sent.length === 1)
    expect(notes()).toEqual(['three'])
    expect(await state('a')).toEqual({ seen: ['one', 'two', 'three'] })
    stage.sent = []
    await runner.reset()
    await eventually(async () => (await checkpoint())?.generation === 3)
    await caughtUp()
    await happens('a', 'four')
    await allSent()
    await eventually(() => stage.sent.length === 1)
    expect([notes(), await state('a')]).toEqual([['four'], { seen: ['one', 'two', 'three', 'four'] }])
    expect((await stateEvents('a')).map(({ data }) => data.generation)).toContain('1.3')
  })

  it('C57 does nothing about what happened before a restore', async () => {
    await happens('a', 'before')
    const owner = await stage.database.connect()
    const restored = (position: string) => owner.query(`update es.store set live_from = ${position}`)
    await restored('(select max(position) from es.event)')
    try {
      await started({ history: 'act' })
      await happens('a', 'after')
      await eventually(() => stage.sent.length > 0)
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
    const saga = orderSaga(stage.name, 2)
    const evolve: typeof saga.evolve = (before, given) => ({ seen: [...saga.evolve(before, given).seen, 'v2'] })
    start({ saga: { ...saga, evolve }, dispatch: async (message) => void byNew.push(message) })
    await eventually(async () => (await checkpoint())?.fold === '2')
    await eventually(() => old.status().status === 'waiting')
    await allSent()
    expect(await state('a')).toEqual({ seen: ['one', 'v2'] })
    expect(byNew.map(({ output }) => output.note)).toEqual(['one'])
    await happens('a', 'two')
    await eventually(() => byNew.length === 2)
    expect(stage.sent).toEqual([])
  })

  it('C57 is not set back by a lower version, which would take over what it does not understand', async () => {
    const lower = await started()
    await lower.stop()
    const higher = start({ saga: orderSaga(stage.name, 2) })
    await eventually(async () => (await checkpoint())?.fold === '2')
    await happens('a', 'one')
    await allSent()
    const before = await checkpoint()
    await expect(lower.reset()).rejects.toMatchObject({
      code: 'Conflict',
      message: expect.stringMatching(/runs in version 2, and this program has version 1: reset it with the newer/),
    })
    expect(await checkpoint()).toEqual(before)
    await higher.reset()
    expect(await checkpoint()).toMatchObject({ fold: '2', generation: before!.generation + 1 })
  })
})
