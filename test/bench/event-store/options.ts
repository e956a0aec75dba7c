import { parseArgs } from 'node:util'

export interface Options {
  /** Parts of the names of workloads; all when empty. */
  only: string[]
  rounds: number
  /** Size of the log of the large workloads. */
  events: number
  quick: boolean
  /** File for the JSON rows. */
  json: string | undefined
  /** Another server than the embedded one. */
  url: string | undefined
}

const help = `Measures libs/event-store beside other event stores, on one PostgreSQL server.

  node test/bench/event-store/run.mjs [options]

  --only WORDS    workloads whose name holds one of these words, comma separated: append, read, catch-up,
                  memory, transfer, rebuild
  --rounds N      rounds per measurement, default 5 (large workloads: at most 3)
  --events N      events of the large workloads, default 1000000 (catch-up: a tenth)
  --quick         fewer and shorter rounds, small logs: a look at the method, no figures to quote
  --json FILE     writes the rows there too, one JSON object per line
  --url URL       another server, as a role that may create databases and roles; default: an embedded PostgreSQL of its own
`

const count = (value: string, name: string): number => {
  if (!/^[1-9]\d{0,7}$/.test(value)) throw new Error(`--${name} ${value} is not a number from 1`)
  return Number(value)
}

/** The command line, or undefined when only help was asked for. Throws with a sentence for people. */
export const parseOptions = (args: string[]): Options | undefined => {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', default: '' },
      rounds: { type: 'string' },
      events: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      url: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(help)
    return undefined
  }
  const { quick } = values
  return {
    only: values.only.split(',').filter((word) => word !== ''),
    rounds: count(values.rounds ?? (quick ? '2' : '5'), 'rounds'),
    events: count(values.events ?? (quick ? '50000' : '1000000'), 'events'),
    quick,
    json: values.json,
    url: values.url,
  }
}
