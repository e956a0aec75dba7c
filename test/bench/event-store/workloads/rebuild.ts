import { Builder, EventCatalogue, modelStatus, requestRebuild, type RebuildableModel } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'
import { serverDecider } from '@mcpctl/kinds/server/server.decider'
import { serverKind } from '@mcpctl/kinds/server/server.kind'
import { serverView } from '@mcpctl/kinds/server/server.view'
import { objectModel } from '@mcpctl/read-model'
import type { Pool } from 'pg'
import { interleave, seconds } from '../measure'
import { progress, type Bench, type Workload } from './bench'
import { largeLog, largeRounds, largeSize } from './large-log'

const servers = [{ kind: serverKind.name, category: serverKind.singular, view: serverView }]
const catalogue = new EventCatalogue([serverDecider])
const model = objectModel({ name: 'objects', kinds: servers, epoch: 1, fold: 'bench', catalogue })

const inTransaction = async (pool: Pool, asked: RebuildableModel) => {
  const tx = await pool.connect()
  await tx.query('begin')
  const version = await requestRebuild(tx, asked)
  await tx.query('commit')
  tx.release()
  return version
}

/** Folds the whole log into a new version of the object table, indexes it and lets readers see it, as `mcpctl admin rebuild` does. */
const rebuildOnce = async (bench: Bench, url: string): Promise<number> => {
  const { events, streams } = largeSize(bench)
  const pool = createPool(url, { role: 'mcpd_app', max: 4, applicationName: 'bench' })
  // A model that has reached the head, as in a daemon; nobody follows the log meanwhile.
  await pool.query(
    `insert into es.checkpoint (processor, model_version, fold, position) values ('objects', 1, 'bench', $1)
     on conflict do nothing`,
    [events],
  )
  const took = await seconds(async () => {
    const version = await inTransaction(pool, model)
    const builder = new Builder({ pool, model })
    while (await builder.step());
    const { version: shown } = await modelStatus(pool, model.name)
    if (shown !== version) throw new Error(`version ${version} was asked for, ${shown} is shown`)
  })
  const { rows } = await pool.query<{ current: number; versions: number }>(
    'select count(*) filter (where to_position is null)::int as current, count(*)::int as versions from rm.object',
  )
  await pool.end()
  if (rows[0]?.current !== streams || rows[0].versions !== events)
    throw new Error(`rebuilt ${JSON.stringify(rows[0])} of ${streams} servers and ${events} versions`)
  return took
}

export const rebuild: Workload = {
  name: 'rebuild',
  async run(bench) {
    const { options, report, server } = bench
    const workload = `rebuild of the server read model, ${options.events} events`
    const url = await largeLog(bench)
    progress(workload)
    const round = async () => ({ rate: options.events / (await rebuildOnce(bench, url)) })
    const results = await interleave([{ name: 'ours', round }], largeRounds(bench), () => server.checkpoint())
    const rounds = results.get('ours') ?? []
    await report.row({ workload, store: 'ours', unit: 'events/s' }, rounds)
    const rates = rounds.map(({ rate }) => rate)
    await report.goal(`${workload}: events/s`, rates, '>=', 50_000)
  },
}
