/** Contends for leadership as another daemon would, and prints each turn of events as one line of JSON. */
import { createPool } from '@mcpctl/postgres'
import { Leader } from '@mcpctl/reconcile'

const [, , url = '', name = '', address = '', lease = '10000'] = process.argv
const print = (line: object) => {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined }

const pool = createPool(url, { applicationName: address, role: 'mcpd_app', max: 1 })
const leader = new Leader({ url, pool, name, address, lease: Number(lease), logger: quiet })
leader.onElected((term, signal) => {
  print({ elected: term })
  // Acts all the time, as often as it can, for as long as it may.
  const act = () => {
    if (signal.aborted) return
    const current = leader.current()
    print({ acts: current?.term ?? null, at: Date.now() })
    setTimeout(act, 20)
  }
  act()
})
leader.onLost((reason) => {
  print({ lost: reason })
})
leader.start()
