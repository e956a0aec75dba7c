import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createPool } from '@mcpctl/postgres'
import { median } from '../measure'
import { scratch } from '../scratch'
import { progress, type Bench, type Workload } from './bench'
import { largeLog } from './large-log'

type Told = { rss: number } | { peak: number }

const createTable = async (url: string, table: string) => {
  const pool = createPool(url, { applicationName: 'bench', role: 'mcpd_app', max: 1 })
  await pool.query(`create table rm.${table} (stream_id text primary key, events bigint not null)`)
  await pool.end()
}

const follow = async (url: string, head: number): Promise<{ samples: number[]; peak: number }> => {
  const table = 'followed'
  await createTable(url, table)
  const program = join(scratch, 'follow-process.mjs')
  const child = fork(program, [url, String(head), table], { execArgv: [] })
  const samples: number[] = []
  let peak = NaN
  child.on('message', (told: Told) => {
    if ('peak' in told) peak = told.peak
    else samples.push(told.rss)
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0 || Number.isNaN(peak)) throw new Error(`the following process ended with ${String(code)}`)
  return { samples, peak }
}

export const memory: Workload = {
  name: 'memory',
  async run(bench: Bench) {
    const { options, report } = bench
    const workload = `memory of a process that follows ${options.events} events`
    const url = await largeLog(bench)
    progress(workload)
    const { samples, peak } = await follow(url, options.events)
    const quarter = Math.ceil(samples.length / 4)
    const unit = 'MiB RSS'
    await report.row({ workload, store: 'ours, before', unit }, [{ rate: samples[0] ?? NaN }])
    const second = samples.slice(quarter, 2 * quarter)
    await report.row(
      { workload, store: 'ours, 2nd quarter', unit },
      second.map((rate) => ({ rate })),
    )
    await report.row(
      { workload, store: 'ours, last quarter', unit },
      samples.slice(-quarter).map((rate) => ({ rate })),
    )
    await report.row({ workload, store: 'ours, peak', unit }, [{ rate: peak }])
    await report.goal(`${workload}: peak in MiB`, [peak], '<=', 150)
    // A short run is all warming up.
    if (options.events < 500_000) return
    const growth = median(samples.slice(-quarter)) / median(second)
    await report.goal(`${workload}: last quarter / 2nd quarter`, [growth], '<=', 1.2)
  },
}
