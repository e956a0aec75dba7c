import 'reflect-metadata'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { findConfig } from '@mcpctl/client'
import type { Problem, ResourceList, ResourceObject } from '@mcpctl/contracts'
import { assemble, close, serve, type Parts } from '../../apps/mcpd/src/assembly'
import type { Config } from '../../apps/mcpd/src/config'
import { lead } from '../../apps/mcpd/src/leadership'
import { defaultLimits } from '../../apps/mcpd/src/limits'
import { openLog, toLines } from '../../apps/mcpd/src/log'
import type { SetupOutcome } from '../../apps/mcpd/src/setup/admin'
import { openStore } from '../../apps/mcpd/src/store/store'
import { testDatabase, type TestDatabase } from './database'

export interface DaemonOptions extends Partial<Config> {
  /** Contends for leadership, so that instances run; without, nothing is ever reconciled. */
  leads?: boolean
  /** Another daemon's database; the caller closes it. */
  database?: TestDatabase
  /** False: nobody's daemon, which waits to be set up by a code. */
  hasContext?: boolean
}

export interface Sent {
  method?: string
  /** Sent as JSON. */
  body?: unknown
  /** Sent as it is, with `content-type: application/json` unless a header says otherwise. */
  raw?: string | Uint8Array
  headers?: Record<string, string>
}

/** An answer, read to its end. */
export interface Received {
  status: number
  headers: Headers
  text: string
}

/** The daemon as it is, in this process, on a free port and a database of its own. */
export interface TestDaemon {
  address: string
  token: string
  /** The CLI configuration that the set-up wrote. */
  configFile: string
  /** What the set-up has left to say. */
  setup: SetupOutcome
  parts: Parts
  database: TestDatabase
  /** Everything that was logged, one JSON object per line. */
  logged(): string
  /** A request with the administrator's token; a header may replace or, being empty, remove it. */
  send(path: string, sent?: Sent): Promise<Received>
  /** Ends the daemon and drops the database that is its own. */
  close(): Promise<void>
}

const capture = () => {
  const lines: string[] = []
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      lines.push(chunk.toString())
      done()
    },
  })
  return { sink, lines }
}

const configOf = (directory: string, database: TestDatabase): Config => ({
  host: '127.0.0.1',
  port: 0,
  dataDirectory: directory,
  adminUser: 'admin',
  databaseUrl: database.url,
  driver: 'process',
  dockerHost: `unix://${join(directory, 'no-engine.sock')}`,
  logLevel: 'trace',
  allowedHosts: [],
  allowLoopbackUrls: false,
  trustedProxies: [],
  // A test asks as fast as it can; those of the limits say theirs.
  limits: { ...defaultLimits, requests: unlimited, calls: unlimited },
  secretSettleMs: 1_000,
  kekFile: join(directory, 'keys', 'kek'),
})

const unlimited = { perSecond: 0, burst: 0 }

/** Starts mcpd as `run` does, the end by a signal aside. */
export const startDaemon = async (options: DaemonOptions = {}): Promise<TestDaemon> => {
  const { leads = false, database: given, hasContext = true, ...config } = options
  const database = given ?? (await testDatabase(4))
  const directory = mkdtempSync(join(tmpdir(), 'mcpd-test-'))
  const { sink, lines } = capture()
  const configFile = join(directory, 'config', 'config.json')
  const full = {
    ...configOf(directory, database),
    ...(hasContext && { writeContext: configFile }),
    ...config,
  }
  const logger = openLog(full.logLevel, sink)
  mkdirSync(full.dataDirectory, { recursive: true, mode: 0o700 })
  const store = await openStore(full, join(process.cwd(), 'migrations'), toLines(logger))
  const parts = await assemble(full, store, logger)
  const { address, setup } = await serve(parts)
  const leader = leads ? lead(parts, address) : undefined
  const token = findConfig(configFile)?.contexts['local']?.token ?? ''
  return {
    address,
    token,
    configFile,
    setup,
    parts,
    database,
    logged: () => lines.join(''),
    send: (path, sent = {}) => send(address + path, token, sent),
    async close() {
      await close(parts, leader, { all: true })
      if (!given) await database.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

const send = async (url: string, token: string, { method, body, raw, headers = {} }: Sent): Promise<Received> => {
  const content = raw ?? (body === undefined ? undefined : JSON.stringify(body))
  const all = new Headers({
    authorization: `Bearer ${token}`,
    ...(content !== undefined && { 'content-type': 'application/json' }),
    ...headers,
  })
  for (const [name, value] of Object.entries(headers)) if (value === '') all.delete(name)
  const answer = await fetch(url, {
    method: method ?? (content === undefined ? 'GET' : 'POST'),
    headers: all,
    redirect: 'manual',
    ...(content !== undefined && { body: content as string }),
  })
  return { status: answer.status, headers: answer.headers, text: await answer.text() }
}

/** A token of a user, who is made an administrator and, where there is none of that name, made at all. */
export const tokenOf = async (daemon: TestDaemon, user: string): Promise<string> => {
  const rbac = [{ name: `all-${user}`, subjects: [{ kind: 'User', name: user }], ...everything }]
  expectStatus(200, await daemon.send('/api/v1/apply', { body: { users: [{ name: user }], rbac } }))
  const issued = expectStatus(201, await daemon.send('/api/v1/tokens', { body: { user } }))
  return (JSON.parse(issued.text) as { token: string }).token
}

const everything = {
  bindings: ['view', 'create', 'edit', 'delete', 'run'].map((role) => ({ role, resource: '*' })),
  operations: [{ action: '*' }],
}

export const objectOf = ({ text }: Received): ResourceObject => JSON.parse(text) as ResourceObject
export const listOf = ({ text }: Received): ResourceList => JSON.parse(text) as ResourceList
export const problemOf = ({ text }: Received): Problem => JSON.parse(text) as Problem

/** Sends what is wanted and demands the status; throws with the answer otherwise. */
export const expectStatus = (status: number, received: Received): Received => {
  if (received.status === status) return received
  throw new Error(`expected ${String(status)}, got ${String(received.status)}: ${received.text}`)
}
