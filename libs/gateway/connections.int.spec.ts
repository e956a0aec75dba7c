import { afterAll, afterEach, describe, expect, it } from '@jest/globals'
import { Connections } from './connections'
import { crooked, everything, start, startHttp, stdio, stop, stopAll, until } from './fixtures/servers'

const clientInfo = { name: 'spec', version: '1' }
const open: Connections[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((connections) => connections.close()))
})
afterAll(stopAll)

describe('connections', () => {
  const timings = { retryMs: 20, tries: 3, handshakeMs: 1000, pingEveryMs: 50, pingTimeoutMs: 100, pingFailures: 2 }
  const connect = (more = {}) => {
    const connections = new Connections({ clientInfo, timings: { ...timings, ...more } })
    open.push(connections)
    return connections
  }

  it('tries again until the server can be reached', async () => {
    const connections = connect()
    const child = start(crooked)
    let tries = 0
    const heard = new Set<string>()
    connections.onChange((uid) => heard.add(`${uid} ${connections.state(uid).phase}`))
    connections.ensure('a', () => (++tries < 3 ? Promise.reject(new Error('not yet')) : Promise.resolve(stdio(child))))
    await until(() => connections.state('a').phase === 'ready')
    expect(connections.state('a')).toMatchObject({ tools: 12 })
    expect([...heard]).toEqual(['a connecting', 'a ready'])
  })

  it('gives up in the end, and says why', async () => {
    const connections = connect()
    connections.ensure('a', () => Promise.reject(new Error('no way')))
    await until(() => connections.state('a').phase === 'failed')
    expect(connections.state('a')).toEqual({ phase: 'failed', reason: 'ProbeFailed', message: 'no way' })
  })

  it('calls a server that answers the handshake wrongly a protocol error', async () => {
    const connections = connect()
    const answer = `const { id } = JSON.parse(line); console.log(JSON.stringify({ jsonrpc: '2.0', id, result: { protocolVersion: '1' } }))`
    const child = start(['-e', `process.stdin.on('data', (line) => { ${answer} })`])
    connections.ensure('a', () => Promise.resolve(stdio(child)))
    await until(() => connections.state('a').phase === 'failed')
    expect(connections.state('a')).toMatchObject({ reason: 'ProtocolError' })
  })

  it('says that a server which only writes a log to standard output speaks no MCP, without repeating it', async () => {
    const connections = connect({ stdioHandshakeMs: 4000 })
    const child = start(['-e', `setInterval(() => console.log('token=hunter2'), 20)`])
    connections.ensure('a', () => Promise.resolve(stdio(child)))
    await until(() => connections.state('a').phase === 'failed')
    const state = connections.state('a')
    expect(state).toMatchObject({
      reason: 'ProtocolError',
      message: expect.stringMatching(/\d+ lines on standard output/),
    })
    expect(JSON.stringify(state)).not.toContain('hunter2')
  })

  it('notices a frozen server, but not a busy one', async () => {
    const connections = connect()
    const child = start(crooked)
    connections.ensure('a', () => Promise.resolve(stdio(child)))
    await until(() => connections.state('a').phase === 'ready')
    const upstream = connections.available('a')
    const stopHanging = new AbortController()
    const params = { name: 'hang' }
    const call = upstream?.request(
      { jsonrpc: '2.0', id: 1, method: 'tools/call', params },
      { signal: stopHanging.signal },
    )
    const cancelled = expect(call).rejects.toMatchObject({ name: 'RequestCancelled' })
    child.kill('SIGSTOP')
    const since = performance.now()
    await until(() => performance.now() - since > 500)
    expect(connections.state('a').phase).toBe('ready')
    stopHanging.abort()
    await cancelled
    await until(() => connections.state('a').phase === 'failed')
    expect(connections.state('a')).toMatchObject({ reason: 'ProbeFailed' })
  })

  it('opens a new session with an HTTP server that was restarted under the same address', async () => {
    const connections = connect({ tries: 2000 })
    const { child, url } = await startHttp()
    connections.ensure('a', () => Promise.resolve({ transport: 'http', url }))
    await until(() => connections.state('a').phase === 'ready')
    const before = connections.available('a')
    await stop(child)
    const again = start([everything[0] ?? '', 'streamableHttp'], { PORT: new URL(url).port })
    again.stdout?.resume()
    await until(() => {
      const now = connections.available('a')
      return now !== undefined && now !== before
    })
  })
})
