import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { program, until } from '../support/binaries'
import { Sandbox } from '../support/mcpd-process'

describe('mcpctl get --watch', () => {
  let sandbox: Sandbox
  const running: ChildProcess[] = []

  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
    await sandbox.must('create', 'project', 'first', '--label', 'team=core')
  }, 90_000)
  afterEach(() => {
    for (const command of running.splice(0)) command.kill('SIGKILL')
  })
  afterAll(() => sandbox.remove(), 60_000)

  /** A command that goes on, and what it has printed so far. */
  const start = (...args: string[]) => {
    const command = spawn(process.execPath, [program('mcpctl'), ...args], { env: sandbox.env })
    running.push(command)
    const said = { out: '', err: '' }
    command.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()))
    command.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()))
    const shows = (text: string | RegExp, within = 45_000) =>
      until(`it prints ${String(text)}`, () => new RegExp(text).test(said.out), within).catch((error: unknown) => {
        throw new Error(JSON.stringify(said), { cause: error })
      })
    const interrupt = async () => {
      const closed = once(command, 'close')
      command.kill('SIGINT')
      return (await closed)[0] as number
    }
    return { said, shows, interrupt }
  }
  const ageless = (text: string) => text.replace(/\d+m?s?$/gm, 'AGE')

  it('prints a table whose rows grow, until Ctrl-C', async () => {
    const watching = start('get', 'projects', '-w', '--output-watch-events')
    await watching.shows(/first/)
    await sandbox.must('create', 'project', 'second', '--description', 'x')
    await watching.shows(/second/)
    await sandbox.must('delete', 'project', 'second', '--yes')
    await watching.shows(/DELETED/)
    expect(await watching.interrupt()).toBe(130)
    expect(
      ageless(watching.said.out)
        .split('\n')
        .map((line) => line.split(/ +/).slice(0, 2)),
    ).toEqual([['EVENT', 'NAME'], ['ADDED', 'first'], ['ADDED', 'second'], ['DELETED', 'second'], ['']])
    const [header = '', ...rows] = watching.said.out.split('\n')
    for (const row of rows.slice(0, -1)) expect(row.slice(header.indexOf('NAME'))).toMatch(/^(first|second)/)
    expect(watching.said.err).toBe('')
  })

  it('prints documents, one object each', async () => {
    const [json, yaml, name] = [
      start('get', 'project', 'first', '-w', '-o', 'json'),
      start('get', 'projects', '-l', 'team=core', '--watch-only', '-o', 'yaml'),
      start('get', 'projects', '-w', '-o', 'name'),
    ]
    await json.shows(/first/)
    await name.shows(/first/)
    // What is there already is not printed, so that there is nothing to wait for.
    await until('it watches', async () => {
      await change(String(performance.now()))
      return yaml.said.out.split('---\n').length >= 2
    })
    await json.shows(/}\n{/)
    await name.shows('project/first\nproject/first\n')
    expect(yaml.said.out).toMatch(/^projects:\n {2}- name: first\n/)
    expect(JSON.parse(json.said.out.split(/(?<=^})\n/m)[0] ?? '')).toMatchObject({ projects: [{ name: 'first' }] })
  })

  const change = (description: string) =>
    sandbox.type(
      JSON.stringify({ projects: [{ name: 'first', labels: { team: 'core' }, description }] }),
      'apply',
      '-f',
      '-',
    )

  it('goes on when the daemon was started anew, without a gap', async () => {
    const watching = start('get', 'projects', '-w', '-o', 'name')
    await watching.shows(/first/)
    await sandbox.end()
    await sandbox.start()
    await sandbox.must('create', 'project', 'later')
    await watching.shows(/^project\/later$/m)
    expect(watching.said.out.match(/^project\/later$/gm)).toHaveLength(1)
    expect(watching.said.err).toContain('--- connection lost, trying again ---')
  }, 90_000)

  it('lists again when what one may view has changed', async () => {
    await sandbox.must('create', 'user', 'vic')
    await sandbox.must('create', 'rbac', 'vic', '--subject', 'User:vic', '--binding', 'view:projects:first')
    await sandbox.must('create', 'project', 'hidden')
    const watching = start('get', 'projects', '-w', '--output-watch-events', '-o', 'name', '--as', 'vic')
    await watching.shows(/^ADDED project\/first$/m)
    await sandbox.must('create', 'rbac', 'vic-too', '--subject', 'User:vic', '--binding', 'view:projects:hidden')
    await watching.shows(/^ADDED project\/hidden$/m)
    await sandbox.must('delete', 'rbac', 'vic', '--yes')
    await watching.shows(/^DELETED project\/first$/m)
    expect(watching.said.out).not.toContain('later')
  })

  it.each([
    [['get', 'projects,servers', '-w'], 2, 'you may only specify a single resource type'],
    [['get', 'project', 'a', 'b', '-w'], 2, 'individual resources and resource collections'],
    [['get', 'projects', '--output-watch-events'], 2, '--output-watch-events option can only be used'],
    [['get', 'project', 'nobody', '-w'], 3, 'projects "nobody" not found'],
  ])('refuses %j', async (args, code, text) => {
    const answer = await sandbox.mcpctl(...args)
    expect([answer.code, answer.out]).toEqual([code, ''])
    expect(answer.err).toContain(text)
  })
})
