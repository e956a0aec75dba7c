/**
 * Runs the saga about orders as a daemon of its own would. Its receiver is the table `rm.effect (id, process, note)`, with a row for each time
 * that a message was taken. Prints one line of JSON when it runs and one for each message. With `holds` it stays, alive, between the effect
 * of its first message and the answer.
 */
import { Follower, PostgresEventLog, SagaRunner } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'
import { orderSaga } from './order-saga'

const [, , url = '', name = '', application = '', holds] = process.argv
const print = (line: object) => {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const pool = createPool(url, { applicationName: application, role: 'mcpd_app', max: 6 })
const follower = new Follower({ pool })
await follower.start()
const runner = new SagaRunner({
  saga: orderSaga(name),
  pool,
  follower,
  log: new PostgresEventLog({ pool }),
  actor: { uid: '00000000-0000-0000-0000-000000000000', name: 'system:test' },
  history: 'act',
  dispatch: async ({ id, output }) => {
    await pool.query('insert into rm.effect (id, process, note) values ($1, $2, $3)', [id, application, output.note])
    print({ sent: id })
    if (holds === 'holds') await new Promise(() => {})
  },
})
runner.start()
print({ runs: true })
