import { beforeEach, describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { createPool } from '@mcpctl/postgres'
import { orderSaga, type OrderState } from '../../../test/support/order-saga'
import { SagaStage } from '../../../test/support/saga-stage'
import { Parked } from '../follow/parked'
import { event, to } from '../testing/event-fixtures'
import { eventually } from '../testing/eventually'
import type { ProjectedEvent } from '../types'
import { Outbox } from './outbox'

describe('A saga that meets faults', () => {
  const stage = new SagaStage()
  const { allSent, happens, notes, order, started, state } = stage

  describe('C53 that throws in one step', () => {
    const broken = new Set<string>()
    const faulty = () => {
      const saga = orderSaga(stage.name)
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
      const projection = { name: stage.name, fold: '1', project: async () => {} }
      const parked = new Parked({ pool: stage.database.pool, projections: [projection] })
      expect(await parked.list(stage.name)).toMatchObject([{ position: bad.position, error: 'no answer to bad' }])
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
      await stage.log.append(to(`payments-${stage.name}`, 'any', other))
      await happens('b', 'good')
      await eventually(() => notes('b').length === 1)
      await stage.log.append(to(`payments-${stage.name}`, 'any', event({ data: { order: order('a'), note: 'three' } })))
      await stage.log.append(to(`payments-${stage.name}`, 'any', event({ data: { order: order('b'), note: 'more' } })))
      await allSent()
      expect([notes('a'), notes('b')]).toEqual([['one'], ['good', 'more']])
      expect(parkedEvents).toEqual([bad.position])
      const parked = new Parked({ pool: stage.database.pool, projections: [runner.projection] })
      expect(await parked.list(stage.name)).toMatchObject([{ position: bad.position, behind: 2 }])
      expect(await parked.retry(stage.name, bad.position)).toMatchObject({
        applied: 0,
        stoppedAt: { type: 'Happened' },
      })
      await expect(runner.reset()).rejects.toMatchObject({ code: 'Conflict' })
      broken.clear()
      expect(await parked.retry(stage.name, bad.position)).toEqual({ applied: 3 })
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
      const parked = new Parked({ pool: stage.database.pool, projections: [runner.projection] })
      await parked.skip(stage.name, bad.position)
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
        stage.sent.push(message)
      },
    })
    for (const note of ['one', 'bad', 'two', 'three']) await happens('a', note)
    for (const note of ['x', 'y', 'z']) await happens('b', note)
    await eventually(() => parkedMessages.length === 1)
    await eventually(() => stage.sent.length === 4)
    await happens('b', 'after')
    await eventually(() => stage.sent.length === 5)
    expect([notes('a'), notes('b')]).toEqual([['one'], ['x', 'y', 'z', 'after']])
    expect(parkedMessages).toEqual(['bad: refused'])
    const [stuck] = await stage.outbox.parked(stage.name)
    expect(stuck).toMatchObject({ saga: stage.name, instance: order('a'), error: 'refused', attempts: 3, queued: 2 })
    expect(stuck?.output).toEqual({ act: 'act-0', note: 'bad' })
    await stage.outbox.retry(stuck!.id)
    await eventually(() => parkedMessages.length === 2)
    refuses = false
    await stage.outbox.retry(stuck!.id)
    await allSent()
    expect(notes('a')).toEqual(['one', 'bad', 'two', 'three'])
    await expect(stage.outbox.retry(stuck!.id)).rejects.toMatchObject({ code: 'NotFound' })
  })

  it('C53 gives a message up when it is told to, and goes on with what waits behind it', async () => {
    await started({
      maxAttempts: 1,
      dispatch: async (message) => {
        if (message.output.note === 'bad') throw new Error('refused')
        stage.sent.push(message)
      },
    })
    await happens('a', 'bad')
    await happens('a', 'two')
    await eventually(async () => (await stage.outbox.parked(stage.name)).length === 1)
    await stage.outbox.skip((await stage.outbox.parked(stage.name))[0]!.id)
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
        stage.sent.push(message)
      },
    })
    await happens('a', 'one')
    await allSent()
    expect([tries, aborted, notes(), await stage.outbox.parked(stage.name)]).toEqual([4, [true], ['one'], []])
  })

  describe('C53 when it is the outbox that fails', () => {
    /** As the owner; undone after the test. */
    const meddle = async (change: string, undo: string) => {
      const owner = await stage.database.connect()
      await owner.query(change)
      stage.opened.push(() => owner.query(undo))
      return owner
    }
    const refusing = (name: string, when: string) =>
      `create function rm.${name}() returns trigger language plpgsql as
        $$ begin if ${when} then raise exception 'the table says no'; end if; return old; end $$`

    it('C53 parks a message that can be sent and not be marked as sent; others go on, and the status says why', async () => {
      await meddle(
        `${refusing('keep', `old.output ->> 'note' = 'sticky'`)};
         create trigger keep before delete on es.outbox for each row execute function rm.keep()`,
        'drop trigger keep on es.outbox; drop function rm.keep()',
      )
      const told: string[] = []
      const runner = await started({ maxAttempts: 3, onError: (error) => void told.push(error) })
      await happens('a', 'sticky')
      await happens('b', 'good')
      await eventually(async () => (await stage.outbox.parked(stage.name)).length === 1)
      await eventually(() => notes('b').length === 1)
      expect(await stage.outbox.parked(stage.name)).toMatchObject([{ error: 'the table says no', attempts: 3 }])
      expect(notes('a')).toEqual(['sticky', 'sticky', 'sticky'])
      expect(told).toContain('the table says no')
      expect(runner.status().status).toBe('running')
      await happens('b', 'more')
      await eventually(() => notes('b').length === 2)
      await eventually(() => runner.status().lastError === undefined)
    })

    it('C53 says so while nothing can be sent at all, later and later, and goes on when it can', async () => {
      const told: string[] = []
      const runner = await started({ onError: (error) => void told.push(error) })
      await meddle('revoke update on es.outbox from mcpd_app', 'grant update on es.outbox to mcpd_app')
      await happens('a', 'one')
      await eventually(() => runner.status().status === 'failing')
      expect(runner.status().lastError).toMatch(/permission denied for table outbox/)
      expect(told).toEqual(['permission denied for table outbox'])
      await meddle('grant update on es.outbox to mcpd_app', '')
      await allSent()
      expect(notes()).toEqual(['one'])
      await eventually(() => runner.status().status === 'running')
      expect(runner.status().lastError).toBeUndefined()
      expect(told).toHaveLength(1)
    })

    it('C53 tells of a parked message when it is parked, and not before', async () => {
      await meddle(
        `create sequence rm.tries; grant usage on sequence rm.tries to mcpd_app;
         ${refusing('hesitate', `new.status = 'parked' and nextval('rm.tries') <= 2`)};
         create constraint trigger hesitate after update on es.outbox deferrable initially deferred
         for each row execute function rm.hesitate()`,
        'drop trigger hesitate on es.outbox; drop function rm.hesitate(); drop sequence rm.tries',
      )
      let told = 0
      await started({
        maxAttempts: 1,
        onParkedMessage: () => {
          told++
        },
        dispatch: () => Promise.reject(new Error('refused')),
      })
      await happens('a', 'bad')
      await eventually(async () => (await stage.outbox.parked(stage.name)).length === 1)
      await eventually(() => told > 0)
      expect(told).toBe(1)
    })
  })

  it('C53 goes on though those who are told of faults throw themselves', async () => {
    const throwing = () => {
      throw new Error('not my day')
    }
    await started({
      maxAttempts: 1,
      onParkedMessage: throwing,
      onError: throwing,
      dispatch: async (message) => {
        if (message.output.note === 'bad') throw new Error('refused')
        stage.sent.push(message)
      },
    })
    await happens('a', 'bad')
    await happens('b', 'good')
    await eventually(() => notes('b').length === 1)
    await eventually(async () => (await stage.outbox.parked(stage.name)).length === 1)
  })

  it('answers about messages that are not parked, and when the database is away, as it does about all else', async () => {
    for (const id of ['nonsense', '', '5d0c2b5e-6f0b-5a52-9d34-1f3a5f0e8c11', `'; drop table es.outbox; --`])
      for (const act of [stage.outbox.retry.bind(stage.outbox), stage.outbox.skip.bind(stage.outbox)])
        await expect(act(id)).rejects.toMatchObject({ code: 'NotFound', message: expect.stringContaining('is parked') })
    const nowhere = new URL(stage.database.url)
    nowhere.port = '1'
    const pool = createPool(nowhere.href, { role: 'mcpd_app', max: 1, applicationName: 'lost' })
    stage.opened.push(() => pool.end())
    const away = new Outbox(pool)
    for (const asked of [away.parked(), away.retry('5d0c2b5e-6f0b-5a52-9d34-1f3a5f0e8c11')])
      await expect(asked).rejects.toMatchObject({ code: 'Unavailable' })
  })
})
