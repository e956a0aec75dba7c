import { afterAll, describe, expect, it } from '@jest/globals'
import { PassThrough } from 'node:stream'
import { startForgetful } from './fixtures/forgetful-server'
import { crooked, everything, memory, start, startHttp, stdio, stop, stopAll } from './fixtures/servers'
import { openUpstream } from './open-upstream'
import type { JsonRpcResponse, Upstream } from './types'

const options = { bootId: 'boot', clientInfo: { name: 'spec', version: '1' }, timeoutMs: 30_000 }

const open = async (args: string[]) => {
  const child = start(args)
  return { child, upstream: await openUpstream(stdio(child), options) }
}

const call = (upstream: Upstream, name: string, rest: Record<string, unknown> = {}, more = {}) =>
  upstream.request({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name, ...rest } }, more)

const textOf = (answer: JsonRpcResponse): string => {
  if ('error' in answer) throw new Error(answer.error.message)
  return (answer.result['content'] as { text: string }[])[0]?.text ?? ''
}

afterAll(stopAll)

describe('a server over standard streams', () => {
  it('shakes hands with servers that nobody here wrote', async () => {
    for (const args of [everything, memory]) {
      const { upstream } = await open(args)
      expect(upstream.negotiated.protocolVersion).toBe('2025-11-25')
      expect(upstream.negotiated.serverInfo.name).not.toBe('')
      await upstream.ping(30_000)
    }
  })

  it('gives a hundred parallel callers their own answers under their own ids', async () => {
    const { upstream } = await open(everything)
    const echo = (n: number) =>
      upstream.request({
        jsonrpc: '2.0',
        id: n % 2 ? n : `s${n}`,
        method: 'tools/call',
        params: { name: 'echo', arguments: { message: `m${n}` } },
      })
    const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => echo(n)))
    answers.forEach((answer, n) => {
      expect(answer.id).toBe(n % 2 ? n : `s${n}`)
      expect(textOf(answer)).toBe(`Echo: m${n}`)
    })
    expect(upstream.inFlight).toBe(0)
  })

  it('passes on fields and errors that it does not know', async () => {
    const { upstream } = await open(crooked)
    expect(await call(upstream, 'echo', { arguments: { message: 'a' } })).toEqual({
      jsonrpc: '2.0',
      id: 7,
      result: { content: [{ type: 'text', text: 'a' }], futureField: { kept: true } },
    })
    expect(await call(upstream, 'error')).toEqual({
      jsonrpc: '2.0',
      id: 7,
      error: { code: -31999, message: 'as asked', data: { why: 'kept' } },
    })
  })

  it('drops lines that are no answers to anything', async () => {
    const { upstream } = await open(crooked)
    expect(textOf(await call(upstream, 'garbage'))).toBe('after garbage')
    expect(upstream).toMatchObject({ dropped: { garbage: 3, oversized: 0, unknown: 1 } })
  })

  it('refuses an answer over 4 MiB and goes on', async () => {
    const { upstream } = await open(crooked)
    await expect(call(upstream, 'huge')).rejects.toMatchObject({ name: 'UpstreamRefused' })
    expect(textOf(await call(upstream, 'echo', { arguments: { message: 'still here' } }))).toBe('still here')
  })

  it('tells callers when the server dies before it answered', async () => {
    const { child, upstream } = await open(crooked)
    let closed = 0
    upstream.onClose(() => closed++)
    const waiting = call(upstream, 'hang')
    const dying = call(upstream, 'die')
    await expect(dying).rejects.toMatchObject({ name: 'UpstreamGone', sent: true })
    await expect(waiting).rejects.toMatchObject({ name: 'UpstreamGone' })
    await expect(call(upstream, 'echo')).rejects.toMatchObject({ name: 'UpstreamGone', sent: false })
    await stop(child)
    expect(closed).toBe(1)
  })

  it('answers what the server asks of its client', async () => {
    const { upstream } = await open(crooked)
    expect(JSON.parse(textOf(await call(upstream, 'ask')))).toEqual([{}, -32601])
  })

  it('cancels at the server, under the id that the server knows', async () => {
    const { upstream } = await open(crooked)
    const stop = new AbortController()
    const hanging = call(upstream, 'hang', {}, { signal: stop.signal })
    stop.abort()
    await expect(hanging).rejects.toMatchObject({ name: 'RequestCancelled' })
    await expect(call(upstream, 'hang', {}, { timeoutMs: 50 })).rejects.toMatchObject({ name: 'UpstreamTimeout' })
    expect(JSON.parse(textOf(await call(upstream, 'cancelled')))).toEqual(['boot:2', 'boot:3'])
  })

  it('relays progress under the token of the caller', async () => {
    const { upstream } = await open(crooked)
    const heard: unknown[] = []
    const onProgress = (notification: unknown) => heard.push(notification)
    await call(upstream, 'progress', { _meta: { progressToken: 'mine' } }, { onProgress })
    const params = { progressToken: 'mine', progress: 1, total: 2, futureField: 'kept' }
    expect(heard).toEqual([{ jsonrpc: '2.0', method: 'notifications/progress', params }])
  })

  it('takes up the session of a server that it finds running, in the middle of a line', async () => {
    const { child, upstream } = await open(crooked)
    const { negotiated } = upstream
    child.stdout?.removeAllListeners('data')
    child.stdin?.write('{"jsonrpc":"2.0","id":"half')
    child.stdin?.write('way","method":"ping"}\n')
    const output = new PassThrough()
    output.write('rest of an old answer"}}\n')
    child.stdout?.pipe(output)
    if (!child.stdin) throw new Error('no input')
    const connection = { transport: 'stdio' as const, input: child.stdin, output, close: () => undefined }
    const again = await openUpstream(connection, { ...options, bootId: 'next', resume: negotiated })
    expect(again.negotiated).toEqual(negotiated)
    expect(textOf(await call(again, 'echo', { arguments: { message: 'same' } }))).toBe('same')
  })
})

describe('a server over streamable HTTP', () => {
  it('calls tools in parallel and hears of progress', async () => {
    const { url } = await startHttp()
    const upstream = await openUpstream({ transport: 'http', url }, options)
    expect(upstream.negotiated.serverInfo.name).toBe('mcp-servers/everything')
    const echoes = Array.from({ length: 20 }, (_, n) => call(upstream, 'echo', { arguments: { message: `m${n}` } }))
    expect((await Promise.all(echoes)).map(textOf)).toEqual(Array.from({ length: 20 }, (_, n) => `Echo: m${n}`))
    const heard: unknown[] = []
    const rest = { arguments: { duration: 0.2, steps: 2 }, _meta: { progressToken: 5 } }
    const onProgress = (notification: unknown) => heard.push(notification)
    await call(upstream, 'trigger-long-running-operation', rest, { onProgress })
    expect(heard).toEqual(
      [1, 2].map((progress) => ({
        jsonrpc: '2.0',
        method: 'notifications/progress',
        params: { progress, total: 2, progressToken: 5 },
      })),
    )
    await upstream.close()
  })

  it('opens a new session when the server forgot the old one, and asks again', async () => {
    const forgetful = await startForgetful()
    const upstream = await openUpstream({ transport: 'http', url: forgetful.url }, options)
    const ask = (n: number) => call(upstream, 'echo', { arguments: { message: `m${n}` } })
    expect(textOf(await ask(0))).toBe('m0')
    forgetful.forget()
    const answers = await Promise.all([ask(1), ask(2), ask(3)])
    expect(answers.map(textOf)).toEqual(['m1', 'm2', 'm3'])
    expect(forgetful.sessions()).toBe(1)
    expect(forgetful.credentials).toEqual([])
    await upstream.close()
    expect(forgetful.sessions()).toBe(0)
    await forgetful.close()
  })

  it('ends when the server cannot be reached', async () => {
    const { child, url } = await startHttp()
    const upstream = await openUpstream({ transport: 'http', url }, options)
    await stop(child)
    let closed = false
    upstream.onClose(() => (closed = true))
    await expect(call(upstream, 'echo')).rejects.toMatchObject({ name: 'UpstreamGone' })
    expect(closed).toBe(true)
  })
})
