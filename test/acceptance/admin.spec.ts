import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { PostgresEventLog } from '@mcpctl/event-store'
import { createPool } from '@mcpctl/postgres'
import { v7 as uuidv7 } from 'uuid'
import { program, until } from '../support/binaries'
import { Sandbox } from '../support/mcpd-process'
import { rows } from './world'

const projects = JSON.stringify({
  projects: [
    { name: 'alpha', description: 'as it was' },
    { name: 'beta', description: 'unconcerned' },
  ],
})

describe('an operator', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
    const { code, err } = await sandbox.type(projects, 'apply', '-f', '-')
    if (code !== 0) throw new Error(err)
  }, 90_000)
  afterAll(() => sandbox.remove(), 60_000)

  /** As the owner of the database, with its triggers out of the way. */
  const tamper = async (sql: string): Promise<void> => {
    const owner = await sandbox.database()
    try {
      await owner.query(`set session_replication_role = replica; ${sql}`)
    } finally {
      await owner.end()
    }
  }

  const description = async (name: string): Promise<string> =>
    /description: (.*)/.exec(await sandbox.must('get', 'project', name, '-o', 'yaml'))?.[1] ?? ''

  const change = (from: string, to: string) =>
    tamper(`update rm.object set object = replace(object::text, '"${from}"', '"${to}"')::json where name = 'alpha'`)

  const version = async (): Promise<number> => {
    const { models } = JSON.parse(await sandbox.must('admin', 'verify', '-o', 'json')) as { models: { name: string }[] }
    expect(models).toMatchObject([{ name: 'objects' }])
    const [row] = await rows<{ version: number }>(
      sandbox,
      'select model_version as version from es.checkpoint where active and processor = $1',
      ['objects'],
    )
    return row?.version ?? 0
  }

  it('C59 finds what somebody has changed in a read model, and heals it by a rebuild', async () => {
    const summary = await sandbox.must('admin', 'verify')
    expect(summary).toMatch(/^Events: +\d+, all as they were appended\nHead: +position \d+, hash [0-9a-f]{64}\n/)
    expect(summary).toMatch(/^Claims: +5, .*\nAnchored: +no\nModel: +objects, equal to a fold from scratch/m)

    await change('as it was', 'forged')
    expect(await description('alpha')).toBe('forged')
    const found = await sandbox.mcpctl('admin', 'verify')
    expect([found.code, found.out]).toEqual([1, ''])
    expect(found.err).toMatch(
      /^error: model objects differs from the log .*alpha.*stored "forged", expected "as it was"\n/,
    )
    expect(found.err).toContain('mcpctl admin rebuild objects')

    expect(await sandbox.must('admin', 'rebuild', '--reason', 'alpha was “forged”')).toMatch(
      /^model objects rebuilt: version 2, up to position \d+, \d+ events\/s\n$/,
    )
    expect(await description('alpha')).toBe('as it was')
    expect(await version()).toBe(2)
  }, 60_000)

  it('finds what somebody has changed in the log, which nothing heals', async () => {
    const set = (from: string, to: string) =>
      tamper(
        `update es.event set data = replace(data::text, '"${from}"', '"${to}"')::jsonb where type = 'ProjectCreated'`,
      )
    await set('unconcerned', 'forged')
    const { code, err } = await sandbox.mcpctl('admin', 'verify')
    expect(code).toBe(1)
    expect(err).toMatch(/^error: the log is broken at position \d+ \(content\): /)
    await set('forged', 'unconcerned')
    await sandbox.must('admin', 'verify')
  }, 60_000)

  it('C55 may leave a rebuild alone, which goes on, and reads and writes meanwhile', async () => {
    const reader = await sandbox.database()
    // Old tables that somebody reads cannot be dropped: the rebuild waits with its last step.
    await reader.query('begin; select count(*) from rm.object')
    const command = spawn(process.execPath, [program('mcpctl'), 'admin', 'rebuild'], { env: sandbox.env })
    const [out, err, exited] = [text(command.stdout), text(command.stderr), once(command, 'exit')]
    await until('it is under way', async () =>
      /^objects +3 +swapping +position \d+ of \d+ \(100%\)/m.test(await sandbox.must('status')),
    )
    command.kill('SIGINT')
    expect((await exited)[0]).toBe(130)
    expect(await out).toBe('')
    expect(await err).toContain('the rebuild of model objects goes on; see how far it is with: mcpctl status\n')

    expect((await sandbox.mcpctl('admin', 'rebuild', '--no-wait')).code).toBe(6)
    expect(await description('beta')).toBe('unconcerned')
    await sandbox.must('create', 'project', 'gamma', '--description', 'meanwhile')
    await reader.query('commit')
    await reader.end()
    await until('it is done', async () => !(await sandbox.must('status')).includes('REBUILD'))
    expect(await description('gamma')).toBe('meanwhile')
    expect(await version()).toBe(3)
  }, 90_000)

  it('C45 sees an event that no read model can hold, and lets go on without it', async () => {
    const [project] = await rows<{ uid: string }>(sandbox, `select uid from rm.object where name = 'alpha'`)
    const pool = createPool(await sandbox.databaseUrl(), { role: 'mcpd_app', applicationName: 'newer mcpd', max: 1 })
    const streamId = `project-${project?.uid}`
    const meta = { actor: { uid: uuidv7(), name: 'newer' } }
    const event = { id: uuidv7(), type: 'ProjectTeleported', schemaVersion: 1, data: {}, meta }
    await new PostgresEventLog({ pool }).append({
      streams: [{ streamId, category: 'project', expected: 'exists', events: [event] }],
    })
    await pool.end()

    const listed = await until('it is parked', async () => {
      const { out } = await sandbox.mcpctl('admin', 'parked', 'list', '--no-headers')
      return out !== '' && out.split(/ {3,}/)
    })
    expect(listed.slice(0, 5)).toEqual(['objects', expect.stringMatching(/^\d+$/), 'ProjectTeleported', streamId, '0'])
    const [, position = ''] = listed
    expect(await sandbox.mcpctl('status')).toMatchObject({ code: 0, err: expect.stringContaining('parked') as unknown })
    const retried = await sandbox.mcpctl('admin', 'parked', 'retry', 'objects', '--all')
    expect(retried).toMatchObject({ code: 1, out: '' })
    expect(retried.err).toContain(`parked event objects/${position} (ProjectTeleported) cannot be applied: `)
    const unasked = await sandbox.mcpctl('admin', 'parked', 'skip', 'objects', position)
    expect([unasked.code, unasked.err]).toEqual([2, expect.stringContaining('repeat it with --yes') as unknown])
    const nothing = await sandbox.mcpctl('admin', 'parked', 'skip', 'objects', '1', '--yes')
    expect([nothing.code, nothing.err]).toEqual([3, expect.stringContaining('position 1 is not') as unknown])
    const reason = ['--reason', 'nobody teleports', '--yes']
    expect(await sandbox.must('admin', 'parked', 'skip', 'objects', position, ...reason)).toBe(
      `parked event objects/${position} skipped: 0 events applied\n`,
    )
    expect(await sandbox.mcpctl('admin', 'parked', 'list')).toEqual({ code: 0, out: '', err: 'No events are parked\n' })
    const acts = await rows<{ type: string; actor: string; reason: string | null }>(
      sandbox,
      `select type, meta #>> '{actor,name}' as actor, meta ->> 'reason' as reason from es.event
       where stream_id = 'processor-objects' order by position`,
    )
    expect(acts).toEqual([
      { type: 'RebuildRequested', actor: 'admin', reason: 'alpha was “forged”' },
      { type: 'RebuildRequested', actor: 'admin', reason: null },
      { type: 'ParkedEventSkipped', actor: 'admin', reason: 'nobody teleports' },
    ])
    await sandbox.must('admin', 'verify')
    const rebuilt = JSON.parse(await sandbox.must('admin', 'rebuild', '-o', 'json')) as object
    expect(rebuilt).toMatchObject({ models: [{ name: 'objects', version: 4, done: true }] })
    expect(await version()).toBe(4)
  }, 90_000)

  it('is told what there is when a name is wrong', async () => {
    const wrong = await sandbox.mcpctl('admin', 'rebuild', 'objekts')
    expect([wrong.code, wrong.err]).toEqual([
      3,
      'Error from server (NotFound): there is no read model "objekts"; did you mean "objects"?\n',
    ])
    expect((await sandbox.mcpctl('admin', 'parked', 'list', 'nothing')).err).toContain('there are: objects')
  })
})
