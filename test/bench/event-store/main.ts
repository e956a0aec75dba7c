import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseOptions, type Options } from './options'
import { Report } from './report'
import { openServer } from './server'
import { append } from './workloads/append'
import { catchUp } from './workloads/catch-up'
import { memory } from './workloads/memory'
import { readStream } from './workloads/read'
import { rebuild } from './workloads/rebuild'
import { transfer } from './workloads/transfer'
import type { Bench, Workload } from './workloads/bench'

const workloads: Workload[] = [append, readStream, catchUp, memory, transfer, rebuild]

/** By address: they resolve their packages from their own folder, where nothing else is installed. */
const load = async (file: string) => {
  const path = join(process.env.MCPCTL_ROOT ?? '.', 'test/bench/event-store/yardsticks', file)
  return (await import(pathToFileURL(path).href)) as Record<string, unknown>
}

/** One that fails costs the others nothing, but the command fails. */
const attempt = async (workload: Workload, bench: Bench): Promise<void> => {
  try {
    await workload.run(bench)
  } catch (error) {
    process.exitCode = 1
    await bench.report.note(`${workload.name} FAILED: ${error instanceof Error ? error.message : String(error)}`)
    process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : ''}\n`)
  }
}

const run = async (options: Options): Promise<void> => {
  const chosen = workloads.filter(
    ({ name }) => options.only.length === 0 || options.only.some((word) => name.includes(word)),
  )
  if (chosen.length === 0)
    throw new Error(
      `no workload is called ${options.only.join(' or ')}; there are ${workloads.map(({ name }) => name).join(', ')}`,
    )
  const files = ['emmett.mjs', 'emmett-catch-up.mjs', 'message-db.mjs']
  const others = Object.assign({}, ...(await Promise.all(files.map(load)))) as Bench['others']
  const server = await openServer(options.url)
  const abandon = (code: number) => void server.close().finally(() => process.exit(code))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => abandon(130))
  // Also when a driver throws where nobody waits for it: the server must not be left behind.
  process.on('uncaughtException', (error) => {
    process.stderr.write(`error: ${error.stack ?? error.message}\n`)
    abandon(1)
  })
  try {
    const report = new Report(options.json)
    await report.start({
      at: new Date().toISOString(),
      node: process.version,
      cpu: cpus()[0]?.model,
      cpus: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      rounds: options.rounds,
      quick: options.quick,
      server: server.settings,
    })
    if (server.settings.fsync !== 'on' || server.settings.synchronous_commit !== 'on')
      await report.note(
        'the server does not wait for the disk (fsync, synchronous_commit): these figures compare nothing',
      )
    for (const workload of chosen) await attempt(workload, { options, report, server, others })
    report.print()
  } finally {
    await server.close()
  }
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options) await run(options)
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exitCode = 1
}
