import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { mkdtemp, readdir, readFile, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './contract-client'
import type { LogLine, LogOptions } from './driver'
import { InstanceLogs } from './instance-logs'
import { silent } from './runtime-log'

describe('instance logs', () => {
  let directory = ''
  let logs: InstanceLogs
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'instance-logs-'))
    logs = new InstanceLogs(directory, silent)
  })
  afterEach(() => rm(directory, { recursive: true }))

  const read = async (uid: string, options: LogOptions = {}) => {
    const lines: LogLine[] = []
    for await (const line of logs.read(uid, options)) lines.push(line)
    return lines
  }
  const texts = async (uid: string, options?: LogOptions) => (await read(uid, options)).map(({ text }) => text)
  const writeRun = (uid: string, text: string, mode: 'next-run' | 'same-run' = 'next-run') => {
    const sink = logs.open(uid, mode)
    sink.write('stderr', Buffer.from(text))
    sink.end()
  }

  it('keep the latest run and three before it', async () => {
    for (const run of [1, 2, 3, 4, 5, 6]) writeRun('a', `run ${String(run)}\n`)
    expect(await texts('a')).toEqual(['run 3', 'run 4', 'run 5', 'run 6'])
    expect(await texts('a', { tail: 2 })).toEqual(['run 5', 'run 6'])
    expect(await texts('a', { tail: 100 })).toHaveLength(4)
  })

  it('go on in the same run after the driver was replaced', async () => {
    writeRun('a', 'before\n')
    logs = new InstanceLogs(directory, silent)
    writeRun('a', 'after', 'same-run')
    expect(await texts('a')).toEqual(['before', 'after'])
    expect(await readdir(directory)).toHaveLength(1)
  })

  it('keep what a terminal would obey as it came, one line each', async () => {
    writeRun('a', '\u001b]0;title\u0007 \r half\nnext\r\n')
    expect(await texts('a')).toEqual(['\u001b]0;title\u0007 \r half', 'next'])
  })

  it('never hold a value that the instance was given, on disk either', async () => {
    const secret = 'canary-value-that-must-not-show'
    const sink = logs.open('a', 'next-run', [Buffer.from(secret)])
    sink.write('stderr', Buffer.from(`token=${secret.slice(0, 11)}`))
    sink.write('stdout', Buffer.from('between\n'))
    sink.write('stderr', Buffer.from(`${secret.slice(11)} ${Buffer.from(secret).toString('base64')}\nlast canary-v`))
    sink.end()
    const lines = await read('a')
    expect(lines.map(({ stream, text }) => `${stream} ${text}`)).toEqual([
      'stdout between',
      'stderr token=*** ***',
      'stderr last ***',
    ])
    expect(await readFile(join(directory, 'a.1.1.log'), 'utf8')).not.toContain('canary')
  })

  it('stay bounded, however much is written, and a slow follower still sees the end', async () => {
    const sink = logs.open('a', 'next-run')
    const following = new AbortController()
    let last = ''
    const done = (async () => {
      for await (const line of logs.read('a', { follow: true, signal: following.signal })) last = line.text
    })()
    const block = Buffer.from(`${'x'.repeat(1000)}\n`.repeat(1000))
    for (let megabytes = 0; megabytes < 45; megabytes++) sink.write('stdout', block)
    sink.write('stdout', Buffer.from('the end\n'))
    expect(await readdir(directory)).toHaveLength(2)
    await until('the end', () => Promise.resolve(last === 'the end'))
    following.abort()
    await done
    sink.end()
    expect(await texts('a', { tail: 1 })).toEqual(['the end'])
  })

  it('end for those who follow when they are closed', async () => {
    const done = texts('a', { follow: true })
    logs.close()
    expect(await done).toEqual([])
  })

  it('are read from an instant on', async () => {
    writeRun('a', 'one\n')
    const [first] = await read('a')
    await until('the next millisecond', () => Promise.resolve(Date.now() > Date.parse(first?.at ?? '')))
    writeRun('a', 'two\n')
    const lines = await read('a')
    expect(await texts('a', { since: lines[1]?.at ?? '' })).toEqual(['two'])
  })

  it('of units that are gone are forgotten after an hour', async () => {
    for (const uid of ['old', 'recent', 'known']) writeRun(uid, 'line\n')
    const longAgo = new Date(Date.now() - 2 * 60 * 60_000)
    for (const uid of ['old', 'known']) await utimes(join(directory, `${uid}.1.1.log`), longAgo, longAgo)
    await logs.sweep(new Set(['known']))
    expect((await readdir(directory)).toSorted()).toEqual(['known.1.1.log', 'recent.1.1.log'])
  })
})
