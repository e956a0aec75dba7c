import { createClient } from '@mcpctl/postgres'
import { serverKind } from '@mcpctl/kinds/server/server.kind'
import { serverView } from '@mcpctl/kinds/server/server.view'
import { objectProjection } from '@mcpctl/read-model'
import { interleave, seconds } from '../measure'
import { progress, type Bench, type Workload } from './bench'
import { openProjector } from './counting'
import { largeLog, largeRounds, largeSize } from './large-log'

const project = objectProjection([{ kind: serverKind.name, category: serverKind.singular, view: serverView }], 1)

/** Folds the whole log into the object table. */
const rebuildOnce = async (bench: Bench, url: string, name: string): Promise<number> => {
  const { events, streams } = largeSize(bench)
  const client = await createClient(url, { applicationName: 'bench', statementTimeout: 0 })
  await client.query('delete from rm.object; delete from rm.reference')
  const projector = await openProjector(url, { name, modelVersion: 1, batchSize: 2_000, project })
  const took = await seconds(() => projector.reach(BigInt(events)))
  await projector.close()
  const { rows } = await client.query<{ current: number; versions: number }>(
    'select count(*) filter (where to_position is null)::int as current, count(*)::int as versions from rm.object',
  )
  await client.end()
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
    let nth = 0
    const round = async () => ({ rate: options.events / (await rebuildOnce(bench, url, `rebuild-${nth++}`)) })
    const results = await interleave([{ name: 'ours', round }], largeRounds(bench), () => server.checkpoint())
    const rounds = results.get('ours') ?? []
    await report.row({ workload, store: 'ours', unit: 'events/s' }, rounds)
    const rates = rounds.map(({ rate }) => rate)
    await report.goal(`${workload}: events/s`, rates, '>=', 50_000)
  },
}
