import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals'
import {
  Follower,
  instanceStream,
  Outbox,
  PostgresEventLog,
  SagaRunner,
  type JsonObject,
  type ProjectedEvent,
  type SagaMessage,
  type SagaRunnerOptions,
} from '@mcpctl/event-store'
import { event, to } from '@mcpctl/event-store/testing/event-fixtures'
import { eventually } from '@mcpctl/event-store/testing/eventually'
import { testDatabase, type TestDatabase } from './database'
import { orderSaga, type OrderOutput, type OrderState } from './order-saga'

export type OrderSagaOptions = SagaRunnerOptions<OrderState, OrderOutput>

/** A database in which each test has an order saga of its own. */
export class SagaStage {
  database!: TestDatabase
  log!: PostgresEventLog
  follower!: Follower
  outbox!: Outbox
  /** Of this test's saga. */
  name = ''
  /** What it has sent. */
  sent: SagaMessage<OrderOutput>[] = []
  /** To be closed after this test, the last one first. */
  readonly opened: (() => Promise<unknown>)[] = []
  readonly actor = { uid: '00000000-0000-0000-0000-000000000000', name: 'system:test' }
  private count = 0

  constructor() {
    beforeAll(async () => {
      this.database = await testDatabase(40)
      this.log = new PostgresEventLog({ pool: this.database.pool })
      this.follower = new Follower({ pool: this.database.pool, pollMs: 200 })
      this.outbox = new Outbox(this.database.pool)
      await this.follower.start()
    })
    beforeEach(() => {
      this.name = `orders-${++this.count}`
      this.sent = []
    })
    afterEach(async () => {
      for (const close of this.opened.splice(0).reverse()) await close()
    })
    afterAll(async () => {
      await this.follower.stop()
      await this.database.close()
    })
  }

  options = (given: Partial<OrderSagaOptions> = {}): OrderSagaOptions => ({
    saga: orderSaga(this.name),
    pool: this.database.pool,
    log: this.log,
    follower: this.follower,
    actor: this.actor,
    dispatch: async (message) => void this.sent.push(message),
    ...given,
  })

  start = (given: Partial<OrderSagaOptions> = {}): SagaRunner<OrderState, OrderOutput> => {
    const runner = new SagaRunner(this.options(given))
    this.opened.push(() => runner.stop())
    runner.start()
    return runner
  }

  /** Runs, and has seen what is in the log. */
  started = async (given: Partial<OrderSagaOptions> = {}) => {
    const runner = this.start(given)
    await eventually(async () => (await this.checkpoint()) !== undefined)
    await this.caughtUp()
    return runner
  }

  checkpoint = async () => {
    const text = `select position::int, model_version as generation, live_from::int, fold from es.checkpoint
      where processor = $1 and active`
    const { rows } = await this.database.pool.query<{
      position: number
      generation: number
      live_from: number
      fold: string
    }>(text, [this.name])
    return rows[0]
  }

  caughtUp = () => eventually(async () => BigInt((await this.checkpoint())?.position ?? -1) === (await this.log.head()))

  pending = async () => {
    const text = 'select count(*)::int as pending from es.outbox where processor = $1'
    return (await this.database.pool.query<{ pending: number }>(text, [this.name])).rows[0]?.pending
  }

  /** All that has happened was handled, and all that follows from it is done. */
  allSent = async () => {
    await this.caughtUp()
    await eventually(async () => (await this.pending()) === 0)
  }

  /** Orders of this test alone. */
  order = (id: string) => `${this.name}-${id}`

  happens = async (id: string, note: string, data: JsonObject = {}): Promise<ProjectedEvent> => {
    const meta = { actor: this.actor, correlationId: `c-${note}` }
    await this.log.append(
      to(`order-${this.order(id)}`, 'any', event({ data: { order: this.order(id), note, ...data }, meta })),
    )
    return (await this.log.readStream(`order-${this.order(id)}`)).at(-1) as ProjectedEvent
  }

  stateEvents = (id: string) => this.log.readStream(instanceStream(this.name, this.order(id)))

  state = async (id: string) => (await this.stateEvents(id)).at(-1)?.data.state

  notes = (id?: string) =>
    this.sent.filter(({ instance }) => id === undefined || instance === this.order(id)).map(({ output }) => output.note)
}
