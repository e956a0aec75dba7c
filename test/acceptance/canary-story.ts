import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { exportEvents } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'
import { to as copyTo } from 'pg-copy-streams'
import { until } from '../support/binaries'
import { inputsPackage } from '../support/inputs-package'
import { overHttp } from '../support/mcp-clients'
import type { CanaryWorld } from './canary-world'
import { rows } from './world'

/** What the story has left to look at, beside what the world keeps of itself. */
export interface Told {
  /** The answer that may hold values, and the output that may. */
  revealed: string
  shown: string
  /** What the program was given before and after the rotation; a tool's result is its user's, and passes as it is. */
  given: { TOKEN: string; PEM: string }[]
  /** Every table, as text and as bytes. */
  tables: Buffer
  exported: Buffer
}

/** Which instances there are, and with what they were started, once each has what it is to have. */
const given = async (world: CanaryWorld, token: string): Promise<Told['given'][number]> =>
  until(
    'the program has the value',
    async () => {
      const client = await overHttp(world.sandbox, 'servers/canary')
      try {
        const { TOKEN = '', PEM_FILE = '' } = JSON.parse(await client.call('get-env')) as Record<string, string>
        if (TOKEN !== token) return false
        const file = JSON.parse(await client.call('get-file', { path: PEM_FILE })) as { content: string }
        world.secretFiles.push(PEM_FILE)
        return { TOKEN, PEM: Buffer.from(file.content, 'base64').toString() }
      } finally {
        await client.close()
      }
    },
    120_000,
  )

const manifest = (pem: string) => ({
  secrets: [{ name: 'canary', data: { token: { keep: true }, pem, bytes: { value: btoa(pem), binary: true } } }],
  servers: [
    {
      name: 'canary',
      package: inputsPackage,
      transport: 'stdio',
      replicas: 1,
      env: [
        { name: 'TOKEN', valueFrom: { secretRef: { name: 'canary', key: 'token' } } },
        { name: 'PLAIN', value: 'what everybody may see' },
        { name: 'TELLS', value: 'TOKEN' },
      ],
      secretFiles: [{ secret: 'canary', key: 'pem' }],
    },
  ],
  projects: [{ name: 'canary', servers: ['canary'] }],
})

const refusing = {
  name: 'refusing',
  package: inputsPackage,
  transport: 'stdio',
  env: [
    { name: 'TOKEN', valueFrom: { secretRef: { name: 'canary', key: 'token' } } },
    { name: 'REFUSES', value: 'TOKEN' },
  ],
}

/** A server that repeats its value where it says why it does not start. */
const refuse = async (world: CanaryWorld): Promise<void> => {
  await world.must('POST', '/api/v1/servers', { body: refusing })
  await until(
    'it is known why it does not start',
    async () => (await world.ask('GET', '/api/v1/instances')).text.includes('bad credentials'),
    120_000,
  )
}

/** Stored by two ways of the command line, referred to as a variable and as a file. */
const begin = async (world: CanaryWorld): Promise<void> => {
  const { old, kept } = world.canaries
  await world.sandbox.start()
  for (const plural of ['secrets', 'servers', 'instances']) await world.watch(`/api/v1/${plural}`)
  await world.runSeen(`${old.value}\n`, 'create', 'secret', 'canary', '--from-stdin', 'token')
  const file = join(world.evidence, 'manifest.json')
  await writeFile(file, JSON.stringify(manifest(kept.value)), { mode: 0o600 })
  await world.mustRun('apply', '-f', file, '--dry-run=server')
  await world.mustRun('apply', '-f', file, '--wait', '--timeout=120s')
}

/** A program writes what it knows into its log, and its user sends a value through it. */
const talk = async (world: CanaryWorld): Promise<void> => {
  const client = await overHttp(world.sandbox, 'servers/canary')
  for (const name of ['TOKEN', 'PLAIN']) await client.call('log-env', { name })
  const { typed, current } = world.canaries
  for (const path of [typed.value, current.value]) await client.call('get-file', { path }).catch(() => undefined)
  await client.close()
  await until('its log is there', async () =>
    (await world.ask('GET', '/api/v1/servers/canary/logs')).text.includes('PLAIN is'),
  )
}

/** A new value, typed in an editor, reaches the program. */
const rotate = async (world: CanaryWorld): Promise<void> => {
  const text = JSON.stringify(world.canaries.current.value)
  world.sandbox.env['EDITOR'] = await world.editor(/token:\s+(\{ )?keep: true( \})?/, `token: ${text}`)
  await world.mustRun('edit', 'secret', 'canary')
}

const reveal = async (world: CanaryWorld): Promise<string> => {
  const asked = await world.ask('POST', '/api/v1/secrets/canary:reveal', { body: { keys: ['token'] } })
  world.forget(asked)
  return asked.text
}

const show = async (world: CanaryWorld): Promise<string> => {
  const ran = await world.run('describe', 'secret', 'canary', '--show-values')
  world.ran.splice(world.ran.indexOf(ran), 1)
  return ran.out
}

/** Everything that the database holds, bytes once more as they are, and what it is doing. */
const dump = async (world: CanaryWorld): Promise<Buffer> => {
  const tables = await rows<{ name: string }>(
    world.sandbox,
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema')`,
  )
  const client = await world.sandbox.database()
  try {
    const copied: Buffer[] = []
    for (const { name } of tables)
      for (const format of ['text', 'binary'])
        copied.push(await buffer(client.query(copyTo(`copy ${name} to stdout (format ${format})`))))
    const { rows: activity } = await client.query('select query from pg_stat_activity')
    return Buffer.concat([...copied, Buffer.from(JSON.stringify(activity))])
  } finally {
    await client.end()
  }
}

const exported = async (world: CanaryWorld): Promise<Buffer> => {
  const pool = createPool(await world.sandbox.databaseUrl(), { applicationName: 'export', max: 1 })
  try {
    return await buffer(exportEvents(pool))
  } finally {
    await pool.end()
  }
}

/** A daemon that was killed finds its instances again, or starts them anew. */
const crash = async (world: CanaryWorld): Promise<void> => {
  await world.sandbox.end('SIGKILL')
  await world.sandbox.start()
}

/** Stores, uses, shows and rotates values, with `meanwhile` while all of that is there. */
export const play = async (world: CanaryWorld, meanwhile: () => Promise<void>): Promise<Told> => {
  const { old, current } = world.canaries
  await begin(world)
  const before = await given(world, old.value)
  await talk(world)
  await refuse(world)
  await rotate(world)
  const after = await given(world, current.value)
  await talk(world)
  const revealed = await reveal(world)
  const shown = await show(world)
  await world.look()
  await meanwhile()
  const [tables, log] = [await dump(world), await exported(world)]
  await crash(world)
  const again = await given(world, current.value)
  await world.look()
  return { revealed, shown, given: [before, after, again], tables, exported: log }
}

/** Deletes everything and ends the daemon, whose files can be searched then. */
export const end = async (world: CanaryWorld): Promise<void> => {
  await world.run('delete', 'secret', 'canary')
  await world.mustRun('delete', 'project', 'canary')
  await world.mustRun('delete', 'server', 'canary', 'refusing', '--yes')
  await world.mustRun('delete', 'secret', 'canary')
  const { daemon } = world.sandbox
  const exited = daemon && once(daemon, 'exit')
  await world.mustRun('down', '--all')
  await exited
}

/** What an editor was given. */
export const editedOf = (world: CanaryWorld): Promise<string> => readFile(join(world.evidence, 'edited'), 'utf8')
