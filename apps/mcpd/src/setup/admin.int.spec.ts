import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from '@jest/globals'
import { mintToken, Tokens } from '@mcpctl/access'
import { findConfig } from '@mcpctl/client'
import type { Config } from '../config'
import { openStore, type Store } from '../store/store'
import { testDatabase, type TestDatabase } from '../../../../test/support/database'
import { ensureAdmin } from './admin'

let database: TestDatabase
let store: Store
let tokens: Tokens
let directory: string
let file: string

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'mcpd-admin-'))
})
afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})
beforeEach(async () => {
  database = await testDatabase(6)
  const logger = { info() {}, warn() {}, error() {} }
  const config = { databaseUrl: database.url, dataDirectory: directory } as Partial<Config> as Config
  store = await openStore(config, join(process.cwd(), 'migrations'), logger)
  await store.follower.start()
  store.projector.start()
  tokens = new Tokens(store.pool, store.directory)
  file = join(mkdtempSync(join(directory, 'home-')), 'mcpctl', 'config.json')
})
afterEach(async () => {
  await store.close()
  await database.close()
})

const address = 'http://127.0.0.1:7777'
const start = (more: { address?: string; file?: string | undefined } = {}) =>
  ensureAdmin(store, tokens, { address, file, adminUser: 'admin', embedded: true, ...more }).then((outcome) =>
    outcome.isWritten ? outcome.file : undefined,
  )
const context = (path = file) => findConfig(path)?.contexts['local']
const types = async () => (await store.log.read(0n, 100)).map(({ type }) => type)
const first = ['UserCreated', 'GroupCreated', 'RbacCreated', 'TokenIssued']
const identity = () => new Tokens(store.pool, store.directory).identify(context()?.token ?? '')

describe('the first start', () => {
  it('makes the administrator and a token that works, in a file for its owner alone', async () => {
    expect(await start()).toBe(file)
    expect(context()).toEqual({ server: address, token: expect.stringMatching(/^mcp_ses_/) as unknown, user: 'admin' })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(await identity()).toMatchObject({ name: 'admin' })
    const events = await store.log.read(0n, 10)
    expect(events.map(({ type }) => type)).toEqual(first)
    for (const { meta } of events) expect(meta.actor.name).toBe('system:setup')
  })

  it('keeps what else the file says', async () => {
    await start()
    const config = JSON.parse(readFileSync(file, 'utf8')) as { contexts: Record<string, object> }
    const other = { server: 'https://mcp.example.com', token: 'mcp_pat_other', user: 'alice' }
    writeFileSync(file, JSON.stringify({ ...config, contexts: { ...config.contexts, other } }))
    await start({ address: 'http://127.0.0.1:7778' })
    expect(findConfig(file)?.contexts['other']).toEqual(other)
  })

  it('writes no token to the log', async () => {
    await start()
    const { rows } = await database.pool.query<{ line: string }>('select e::text as line from es.event e')
    const token = context()?.token ?? ''
    for (const { line } of rows) expect(line).not.toContain(token.slice(12))
  })
})

describe('a later start', () => {
  it('keeps the token', async () => {
    await start()
    const before = readFileSync(file, 'utf8')
    expect(await start()).toBeUndefined()
    expect(readFileSync(file, 'utf8')).toBe(before)
    expect(await types()).toEqual(first)
  })

  it('at another address keeps the token and writes the address', async () => {
    await start()
    const before = context()
    expect(await start({ address: 'http://127.0.0.1:7778' })).toBe(file)
    expect(context()).toEqual({ ...before, server: 'http://127.0.0.1:7778' })
    expect(await types()).toEqual(first)
  })

  it('renews a file that was lost, for the same administrator', async () => {
    await start()
    const before = await identity()
    rmSync(file)
    expect(await start()).toBe(file)
    expect(await identity()).toMatchObject({ uid: before?.uid, name: 'admin' })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(await types()).toEqual([...first, 'TokenIssued'])
  })

  it('renews a token that is not valid here', async () => {
    await start()
    const wrong = mintToken('pat')
    writeFileSync(file, readFileSync(file, 'utf8').replace(context()?.token ?? '', wrong))
    expect(await start()).toBe(file)
    expect(context()?.token).not.toBe(wrong)
    expect(await identity()).toBeDefined()
  })

  it('touches no file unless it is told which', async () => {
    await start()
    rmSync(file)
    expect(await start({ file: undefined })).toBeUndefined()
    expect(await types()).toEqual(first)
  })

  it('makes a file that others could read private again when it writes it', async () => {
    await start()
    chmodSync(file, 0o644)
    await start({ address: 'http://127.0.0.1:7778' })
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })
})

describe('two daemons that start at once on an empty store', () => {
  it('make one administrator, and the file that they share has a token that works', async () => {
    await Promise.all([start(), start({ address: 'http://127.0.0.1:7778' })])
    expect((await types()).filter((type) => type === 'UserCreated')).toHaveLength(1)
    expect(await identity()).toMatchObject({ name: 'admin' })
  })

  it('each leave a token that works when the files are two', async () => {
    const second = join(directory, 'second.json')
    await Promise.all([start(), start({ file: second })])
    const users = [await tokens.identify(context()?.token ?? ''), await tokens.identify(context(second)?.token ?? '')]
    expect(users.map((user) => user?.name)).toEqual(['admin', 'admin'])
    expect(users[0]?.uid).toBe(users[1]?.uid)
    expect((await types()).filter((type) => type === 'UserCreated')).toHaveLength(1)
  })
})
