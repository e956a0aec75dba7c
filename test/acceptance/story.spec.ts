import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../support/binaries'
import { overHttp, throughMcplocal } from '../support/mcp-clients'
import { Sandbox } from '../support/mcpd-process'
import { converged, rows, slotClaims } from './world'

const quickstart = join(process.cwd(), 'examples/quickstart.yaml')
/** Ages are the only thing in a table that depends on when one looks. */
const ageless = (table: string) => table.replace(/(?<= )\d+[smh]\w*$/gm, 'AGE')

describe('the main job, from the first start to the last', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await Sandbox.create({ sharedPackages: false })
  })
  afterAll(() => sandbox.remove(), 60_000)

  it('brings the daemon up, once', async () => {
    const first = await sandbox.mcpctl('up')
    expect(first).toMatchObject({
      code: 0,
      err: 'starting mcpd …\nnext: mcpctl apply -f FILE; stop with: mcpctl down\n',
    })
    expect(first.out).toMatch(/^mcpd \S+ started at http:\/\/127\.0\.0\.1:\d+ \(pid \d+\)\n {2}context +local in /)
    expect(statSync(sandbox.config).mode & 0o777).toBe(0o600)
    const second = await sandbox.mcpctl('up')
    expect(second.out).toBe(first.out.replace(' started at ', ' already running at '))
    expect(await sandbox.mcpctl('get', 'servers')).toEqual({ code: 0, out: '', err: 'No resources found\n' })
  }, 60_000)

  it('applies a manifest, waits until all is there, and lists it', async () => {
    expect(await sandbox.mcpctl('apply', '-f', quickstart)).toEqual({
      code: 0,
      out: 'server/everything created\nproject/quickstart created\n',
      err: '',
    })
    expect(await sandbox.must('wait', '--for=condition=Available', 'server/everything', '--timeout=120s')).toBe(
      'server/everything condition met\n',
    )
    expect(ageless(await sandbox.must('get', 'servers'))).toBe(
      'NAME         READY   UP-TO-DATE   AVAILABLE   STATUS    AGE\n' +
        'everything   2/2     2            2           Running   AGE\n',
    )
    const instances = ageless(await sandbox.must('get', 'instances'))
    expect(instances.replace(/everything-[0-9a-f]{4}-/g, 'everything-HASH-')).toBe(
      'NAME                SERVER       READY   STATUS    RESTARTS   AGE\n' +
        'everything-HASH-0   everything   yes     Running   0          AGE\n' +
        'everything-HASH-1   everything   yes     Running   0          AGE\n',
    )
    expect(await sandbox.must('get', 'servers,projects', '-o', 'name')).toBe('server/everything\nproject/quickstart\n')
    expect(await sandbox.must('get', 'servers', '-o', 'wide')).toMatch(/ISOLATED/)
    await converged(sandbox)
  }, 150_000)

  it.each([
    ['mcplocal, on a project', () => throughMcplocal(sandbox, 'quickstart'), 'everything__echo'],
    ['HTTP, on a project', () => overHttp(sandbox, 'projects/quickstart'), 'everything__echo'],
    ['HTTP, on a server', () => overHttp(sandbox, 'servers/everything'), 'echo'],
  ])('calls a tool through %s', async (_, connect, tool) => {
    const client = await connect()
    expect(await client.tools()).toContain(tool)
    expect(await client.call(tool, { message: 'hello' })).toBe('Echo: hello')
    await client.close()
  })

  it('applies what it has printed without a change', async () => {
    const [before] = await rows<{ last: string }>(sandbox, 'select max(position)::text as last from es.event')
    const clean = await sandbox.must('get', 'all', '-o', 'yaml')
    expect(await sandbox.type(clean, 'apply', '-f', '-')).toEqual({
      code: 0,
      out: ['user/admin', 'group/admins', 'server/everything', 'project/quickstart', 'rbac/admins']
        .map((object) => `${object} unchanged\n`)
        .join(''),
      err: '',
    })
    const full = await sandbox.must('get', 'servers', '-o', 'json', '--full')
    expect((await sandbox.type(full, 'apply', '-f', '-')).out).toBe('server/everything unchanged\n')
    expect(await sandbox.must('get', 'all', '-o', 'yaml')).toBe(clean)
    const later = await rows<{ type: string }>(sandbox, 'select type from es.event where position > $1', [before?.last])
    expect(later.map(({ type }) => type).filter((type) => type !== 'ServerStatusReported')).toEqual([])
  })

  it('shows the logs of all copies, and of one', async () => {
    const all = await sandbox.must('logs', 'everything')
    expect(
      all.match(/^\[instance\/everything-[0-9a-f]{4}-[01]\] Starting default \(STDIO\) server\.\.\.$/gm),
    ).toHaveLength(2)
    const [name = ''] = (await sandbox.must('get', 'instances', '-o', 'name')).split('\n')
    expect(await sandbox.must('logs', name, '--tail', '1')).toBe('Starting default (STDIO) server...\n')
  })

  it('scales up, down, to nothing and up again', async () => {
    for (const replicas of [5, 0, 1]) {
      expect(await sandbox.must('scale', 'server/everything', `--replicas=${replicas}`)).toBe(
        'server/everything scaled\n',
      )
      await converged(sandbox)
      const table = ageless(await sandbox.must('get', 'servers', '--no-headers'))
      expect(table.trim().split(/ +/)).toEqual([
        'everything',
        `${replicas}/${replicas}`,
        `${replicas}`,
        `${replicas}`,
        'Running',
        'AGE',
      ])
    }
    expect(await slotClaims(sandbox)).toBe(1)
  }, 120_000)

  it('describes a server with all that belongs to it', async () => {
    const text = await sandbox.must('describe', 'server/everything')
    expect(text).toMatch(/^Name: +everything\nUID: /)
    expect(text).toMatch(/^Replicas: +1 desired \| 1 updated \| 1 total \| 1 available/m)
    expect(text).toMatch(/^ {2}Available +True +MinimumReplicasAvailable/m)
    expect(text).toMatch(/^ {2}everything-[0-9a-f]{4}-0 +yes +Running +0/m)
    expect(text).toMatch(/^Isolated: +no$/m)
    expect(text).not.toContain('undefined')
  })

  it('deletes everything and leaves nothing', async () => {
    expect(await sandbox.must('delete', '-f', quickstart, '--yes')).toMatch(/server "everything" deleted/)
    expect(await sandbox.mcpctl('get', 'servers,instances,projects')).toEqual({
      code: 0,
      out: '',
      err: 'No resources found\n',
    })
    await converged(sandbox)
    expect(await slotClaims(sandbox)).toBe(0)
    expect(await sandbox.runRecords()).toEqual([])
  }, 60_000)

  it('keeps what was declared over a stop and a start', async () => {
    await sandbox.must('apply', '-f', quickstart, '--wait')
    expect(await sandbox.must('down')).toMatch(/^mcpd stopped \(pid \d+\)\n$/)
    await until('all processes have ended', async () => (await sandbox.running()).length === 0, 30_000)
    expect((await sandbox.mcpctl('get', 'servers')).code).toBe(9)
    await sandbox.must('up')
    await converged(sandbox)
    expect(await sandbox.must('down')).toMatch(/^mcpd stopped/)
    expect(await sandbox.must('down')).toMatch(/^mcpd is not running on /)
  }, 120_000)
})
