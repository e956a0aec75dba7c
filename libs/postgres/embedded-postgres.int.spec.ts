import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile, chmod, chown } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals'
import pg from 'pg'
import { createPool, EmbeddedPostgres } from '@mcpctl/postgres'
import { bundle } from '../../test/support/bundle'
import { birthOf } from './processes'

jest.setTimeout(120_000)

const isRoot = process.getuid?.() === 0
const nobody = 65534

let script: string
let parent: string
let dataDirectory: string
let servers: EmbeddedPostgres[]
let pools: pg.Pool[]

beforeAll(async () => {
  script = await bundle('test/support/embedded-process.ts', 'embedded-process')
})
afterAll(() => rm(script, { force: true }))

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'mcpctl embedded '))
  await chmod(parent, 0o711)
  dataDirectory = join(parent, 'data of mcpd')
  servers = []
  pools = []
})
afterEach(async () => {
  for (const pool of pools) await pool.end()
  for (const server of servers) await server.stop()
  await rm(parent, { recursive: true, force: true })
})

const embedded = (directory = dataDirectory) => {
  const server = new EmbeddedPostgres({ dataDirectory: directory })
  servers.push(server)
  return server
}

const poolOf = (url: string) => {
  const pool = createPool(url, { applicationName: 'spec', max: 3, statementTimeout: 0 })
  pools.push(pool)
  return pool
}

/** The daemon's part played by another process, which can be killed. */
const startElsewhere = async (options: { uid?: number } = {}) => {
  const child = spawn(process.execPath, [script, dataDirectory], { stdio: ['ignore', 'pipe', 'inherit'], ...options })
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return { child, ...(JSON.parse(line) as { url: string; pid: number; error?: string }) }
}

const kill = async (child: ChildProcess) => {
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

const eventually = async <T>(attempt: () => Promise<T>): Promise<T> => {
  const deadline = performance.now() + 60_000
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

const remember = (pool: pg.Pool) => pool.query("create table memory as select 'kept' as word")
const recall = async (pool: pg.Pool) => (await pool.query<{ word: string }>('select word from memory')).rows

describe('a new data directory', () => {
  it('becomes a UTF-8 cluster that listens on loopback only and asks for its password', async () => {
    const server = embedded()
    const { url } = await server.start()
    const { rows } = await poolOf(url).query(
      `select current_database() as name, pg_encoding_to_char(encoding) as encoding, datlocale as locale,
         current_setting('listen_addresses') as listens, current_setting('unix_socket_directories') as sockets
       from pg_database where datname = current_database()`,
    )
    expect(rows).toEqual([{ name: 'mcpctl', encoding: 'UTF8', locale: 'C.UTF-8', listens: '127.0.0.1', sockets: '' }])
    const wrong = new URL(url)
    wrong.password = 'guess'
    await expect(new pg.Client(wrong.href).connect()).rejects.toThrow(/password authentication failed/)
  })

  it('keeps the password in a private file, out of the process list and the log', async () => {
    const server = embedded()
    const { url } = await server.start()
    const { password } = new URL(url)
    const file = join(dataDirectory, 'password')
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect((await stat(join(dataDirectory, 'pgdata'))).mode & 0o777).toBe(0o700)
    expect(password.length).toBeGreaterThanOrEqual(32)
    const seen = [join(dataDirectory, 'postgres.log')]
    if (process.platform === 'linux') seen.push(`/proc/${server.pid}/cmdline`, `/proc/${server.pid}/environ`)
    for (const place of seen) expect(await readFile(place, 'utf8')).not.toContain(password)
  })

  it('may lie where only root can go', async () => {
    await chmod(parent, 0o700)
    const first = embedded()
    await remember(poolOf((await first.start()).url))
    await pools.pop()?.end()
    await first.stop()
    const second = embedded()
    expect(await recall(poolOf((await second.start()).url))).toEqual([{ word: 'kept' }])
    await pools.pop()?.end()
    await second.stop()
    const elsewhere = await readFile(join(dataDirectory, 'location'), 'utf8').catch(() => '')
    expect(elsewhere !== '').toBe(isRoot)
    if (elsewhere !== '') await rm(elsewhere.trim(), { recursive: true })
  })

  it('may belong to an ordinary user', async () => {
    await mkdir(dataDirectory)
    if (isRoot) await chown(dataDirectory, nobody, nobody)
    const { child, url, pid } = await startElsewhere(isRoot ? { uid: nobody } : {})
    await remember(poolOf(url))
    await kill(child)
    const server = embedded()
    expect(await recall(poolOf((await server.start()).url))).toEqual([{ word: 'kept' }])
    expect(server.pid).toBe(pid)
  })
})

describe('a data directory in use', () => {
  it('is refused to a second daemon, which leaves the first alone', async () => {
    const { child, url, pid } = await startElsewhere()
    await remember(poolOf(url))
    await expect(embedded().start()).rejects.toMatchObject({
      code: 'Conflict',
      message: `data directory "${dataDirectory}" is in use by process ${child.pid}; stop it or choose another one`,
    })
    expect(await recall(poolOf(url))).toEqual([{ word: 'kept' }])
    await kill(child)
    const heir = embedded()
    await heir.start()
    expect(heir.pid).toBe(pid)
  })

  it('goes to exactly one of several daemons that start at once', async () => {
    const started = await Promise.all([1, 2, 3].map(() => startElsewhere()))
    const [winner, ...others] = started.filter(({ error }) => error === undefined)
    expect(others).toEqual([])
    expect(started.filter(({ error }) => error?.includes('is in use by process'))).toHaveLength(2)
    if (winner) await kill(winner.child)
    await embedded().start()
  })
})

describe('a killed daemon', () => {
  it('leaves its server to the next one, with the same URL and open connections', async () => {
    const { child, url, pid } = await startElsewhere()
    const pool = poolOf(url)
    await remember(pool)
    await kill(child)
    expect(await recall(pool)).toEqual([{ word: 'kept' }])
    const server = embedded()
    expect(await server.start()).toEqual({ url })
    expect(server.pid).toBe(pid)
    await pools.pop()?.end()
    await server.stop()
    expect(await birthOf(pid)).toBeUndefined()
  })

  it('has its successor revive an adopted server that is killed', async () => {
    const { child, url, pid } = await startElsewhere()
    await kill(child)
    const server = embedded()
    const restarted = new Promise<void>((resolve) => server.onRestart(resolve))
    await server.start()
    const pool = poolOf(url)
    await remember(pool)
    process.kill(pid, 'SIGKILL')
    await restarted
    expect(await eventually(() => recall(pool))).toEqual([{ word: 'kept' }])
    expect(await birthOf(pid)).toBeUndefined()
  })
})

describe('a killed server', () => {
  it('is back on the same URL with everything that was committed', async () => {
    const server = embedded()
    const restarted = new Promise<void>((resolve) => server.onRestart(resolve))
    const { url } = await server.start()
    const pool = poolOf(url)
    await remember(pool)
    const { pid } = server
    process.kill(pid ?? 0, 'SIGKILL')
    await restarted
    expect(await eventually(() => recall(pool))).toEqual([{ word: 'kept' }])
    expect(server.pid).not.toBe(pid)
    expect(server.pid).toBeDefined()
  })

  it('comes back although one of its sessions will not end by itself', async () => {
    const server = embedded()
    const restarted = new Promise<void>((resolve) => server.onRestart(resolve))
    const { url } = await server.start()
    const pool = poolOf(url)
    await remember(pool)
    const busy = pool.query('do $$ begin loop end loop; end $$').catch((error: unknown) => error)
    await eventually(async () => {
      const { rowCount } = await pool.query("select from pg_stat_activity where query like 'do %' and state = 'active'")
      expect(rowCount).toBe(1)
    })
    process.kill(server.pid ?? 0, 'SIGKILL')
    await restarted
    expect(await eventually(() => recall(pool))).toEqual([{ word: 'kept' }])
    expect(await busy).toBeInstanceOf(Error)
  })

  it('is not started again after stop', async () => {
    const server = embedded()
    const { url } = await server.start()
    const { pid = 0 } = server
    process.kill(pid, 'SIGKILL')
    await server.stop()
    await expect(new pg.Client(url).connect()).rejects.toThrow(/ECONNREFUSED/)
    const again = embedded()
    await again.start()
  })
})

describe('stop', () => {
  it('ends the server in order and keeps the data for the next start', async () => {
    const first = embedded()
    const pool = poolOf((await first.start()).url)
    await remember(pool)
    const { pid = 0 } = first
    await first.stop()
    expect(await birthOf(pid)).toBeUndefined()
    await expect(stat(join(dataDirectory, 'pgdata', 'postmaster.pid'))).rejects.toThrow('ENOENT')
    await first.stop()
    const second = embedded()
    expect(await recall(poolOf((await second.start()).url))).toEqual([{ word: 'kept' }])
  })

  it('is no obstacle when the pid that a killed server left behind belongs to somebody else now', async () => {
    const first = embedded()
    await first.start()
    await first.stop()
    const file = join(dataDirectory, 'pgdata', 'postmaster.pid')
    await writeFile(file, `${process.pid}\n${join(dataDirectory, 'pgdata')}\n1700000000\n1\n\n127.0.0.1\n`)
    await embedded().start()
  })
})
