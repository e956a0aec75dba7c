import { DomainError } from '@mcpctl/contracts'
import { afterAll, afterEach, describe, expect, it } from '@jest/globals'
import type { ChildProcess } from 'node:child_process'
import { Connections } from './connections'
import { crooked, everything, memory, start, stdio, stopAll, until } from './fixtures/servers'
import { Gateway } from './gateway'
import type { CallContext } from './call'
import type { EndpointRef, EndpointServer, JsonRpcResponse } from './types'

const web: EndpointRef = { kind: 'project', name: 'web' }
const clientInfo = { name: 'spec', version: '1' }
const open: Connections[] = []

/** A gateway over real servers, by server name: how each of its instances is started. */
const gatewayOver = async (servers: Record<string, string[][]>) => {
  const connections = new Connections({ clientInfo, timings: { retryMs: 50, tries: 3, stdioHandshakeMs: 30_000 } })
  open.push(connections)
  const children = new Map<string, ChildProcess>()
  const routed: EndpointServer[] = Object.entries(servers).map(([name, instances]) => ({
    name,
    instances: instances.map((args, n) => {
      const uid = `${name}-${n}`
      const child = start(args)
      children.set(uid, child)
      connections.ensure(uid, () =>
        child.exitCode === null && child.signalCode === null
          ? Promise.resolve(stdio(child))
          : Promise.reject(new Error('it does not run')),
      )
      return { uid, name: uid }
    }),
  }))
  const routes = {
    servers: ({ kind, name }: EndpointRef) => {
      if (kind === 'project' && name === 'web') return Promise.resolve(routed)
      const server = routed.find((one) => kind === 'server' && one.name === name)
      return server
        ? Promise.resolve([server])
        : Promise.reject(new DomainError('NotFound', `${kind} "${name}" not found`))
    },
  }
  const warnings: string[] = []
  const warn = (message: string) => void warnings.push(message)
  const gateway = new Gateway({ routes, connections, serverInfo: { name: 'mcpctl', version: '1' }, warn })
  await until(() => [...children.keys()].every((uid) => connections.state(uid).phase !== 'connecting'))
  return { gateway, connections, children, warnings }
}

const ask = async (
  gateway: Gateway,
  method: string,
  params: Record<string, unknown> = {},
  { endpoint = web, ...context }: CallContext & { endpoint?: EndpointRef } = {},
): Promise<JsonRpcResponse> => {
  const answer = await gateway.handle(endpoint, { jsonrpc: '2.0', id: 'q', method, params }, context)
  if (!answer) throw new Error('no answer')
  return answer
}

const resultOf = (answer: JsonRpcResponse): Record<string, unknown> => {
  if ('error' in answer) throw new Error(answer.error.message)
  return answer.result
}

const textOf = (answer: JsonRpcResponse) => (resultOf(answer)['content'] as { text: string }[])[0]?.text
const names = (answer: JsonRpcResponse) => (resultOf(answer)['tools'] as { name: string }[]).map(({ name }) => name)

afterEach(async () => {
  await Promise.all(open.splice(0).map((connections) => connections.close()))
})
afterAll(stopAll)

describe('a project endpoint', () => {
  it('lists the tools of all its servers as server__tool and calls the right one', async () => {
    const { gateway, connections } = await gatewayOver({ everything: [everything], memory: [memory] })
    expect(connections.state('memory-0')).toMatchObject({ phase: 'ready', tools: 9 })
    const listed = names(await ask(gateway, 'tools/list'))
    expect(listed).toEqual(expect.arrayContaining(['everything__echo', 'everything__get-sum', 'memory__read_graph']))
    const sum = await ask(gateway, 'tools/call', { name: 'everything__get-sum', arguments: { a: 2, b: 40 } })
    expect(textOf(sum)).toContain('42')
    expect(textOf(await ask(gateway, 'tools/call', { name: 'memory__read_graph', arguments: {} }))).toContain(
      'entities',
    )
  })

  it('routes prompts by name, resources by their URI and completions by what they complete', async () => {
    const { gateway } = await gatewayOver({ memory: [memory], everything: [everything] })
    const prompt = await ask(gateway, 'prompts/get', { name: 'everything__args-prompt', arguments: { city: 'Bern' } })
    expect(JSON.stringify(resultOf(prompt))).toContain('Bern')
    const { resources } = resultOf(await ask(gateway, 'resources/list')) as { resources: { uri: string }[] }
    const uri = resources[0]?.uri ?? ''
    expect(resultOf(await ask(gateway, 'resources/read', { uri }))).toHaveProperty('contents')
    const { resourceTemplates } = resultOf(await ask(gateway, 'resources/templates/list')) as {
      resourceTemplates: { uriTemplate: string }[]
    }
    const template = resourceTemplates.find(({ uriTemplate }) => uriTemplate.includes('text'))?.uriTemplate ?? ''
    const made = template.replace(/\{[^}]*\}/, '1')
    expect(JSON.stringify(resultOf(await ask(gateway, 'resources/read', { uri: made })))).toContain('"text"')
    const ref = { type: 'ref/prompt', name: 'everything__completable-prompt' }
    const completion = await ask(gateway, 'completion/complete', { ref, argument: { name: 'department', value: 'E' } })
    expect(resultOf(completion)).toMatchObject({ completion: { values: ['Engineering'] } })
    expect(await ask(gateway, 'resources/read', { uri: 'nobody://has/this' })).toHaveProperty('error')
  })

  it('keeps what it does not know of tools, follows all pages, and hides names that clients cannot take', async () => {
    const { gateway, warnings } = await gatewayOver({ odd: [crooked] })
    const { tools } = resultOf(await ask(gateway, 'tools/list')) as { tools: { name: string }[] }
    expect(tools[0]).toEqual({
      name: 'odd__pid',
      description: 'does pid',
      inputSchema: { type: 'object' },
      futureField: 'pid',
    })
    expect(tools.map(({ name }) => name)).toContain('odd__progress')
    expect(tools.map(({ name }) => name)).not.toContain('odd__bad name')
    expect(warnings).toHaveLength(1)
    const own = resultOf(await ask(gateway, 'tools/list', {}, { endpoint: { kind: 'server', name: 'odd' } }))
    expect(own).toMatchObject({ futureField: 1 })
    expect((own['tools'] as { name: string }[])[0]?.name).toBe('pid')
  })

  it('names a broken server beside the list of the others', async () => {
    const { gateway } = await gatewayOver({ memory: [memory], broken: [['-e', 'process.exit(1)']] })
    const result = resultOf(await ask(gateway, 'tools/list'))
    expect(JSON.stringify(result['tools'])).toContain('memory__read_graph')
    expect(result['_meta']).toMatchObject({
      'mcpctl.io/unavailable': { broken: expect.stringContaining('no ready replica') },
    })
    expect(await ask(gateway, 'tools/call', { name: 'broken__x' })).toMatchObject({
      id: 'q',
      error: { code: -32010, data: { server: 'broken', retryable: true } },
    })
  })

  it('refuses names that nobody lists, and says which was meant', async () => {
    const { gateway } = await gatewayOver({ everything: [everything] })
    const refusal = async (name: unknown) => ask(gateway, 'tools/call', { name })
    expect(await refusal('everything__ehco')).toEqual({
      jsonrpc: '2.0',
      id: 'q',
      error: {
        code: -32602,
        message: 'unknown tool "everything__ehco"; did you mean "everything__echo"?',
        data: { tool: 'everything__ehco', similar: ['everything__echo'] },
      },
    })
    expect(await refusal('echo')).toMatchObject({ error: { data: { similar: ['everything__echo'] } } })
    const hostile = [
      '../admin',
      'everything__tool__x',
      '__proto__',
      'x'.repeat(10_000),
      'everything__ec\u200bho',
      '',
      7,
    ]
    for (const name of hostile) expect(await refusal(name)).toMatchObject({ error: { code: -32602 } })
  })

  it('answers methods that it does not carry', async () => {
    const { gateway } = await gatewayOver({})
    for (const method of ['tasks/list', 'constructor', '__proto__'])
      expect(await ask(gateway, method)).toMatchObject({ error: { code: -32601 } })
    expect(resultOf(await ask(gateway, 'tools/list'))).toEqual({ tools: [] })
    expect(resultOf(await ask(gateway, 'ping'))).toEqual({})
    await expect(ask(gateway, 'ping', {}, { endpoint: { kind: 'project', name: 'nope' } })).rejects.toThrow('not found')
  })

  it('agrees on the newest revision that both speak', async () => {
    const { gateway } = await gatewayOver({ memory: [memory] })
    const agreed = async (protocolVersion: string) =>
      resultOf(await ask(gateway, 'initialize', { protocolVersion, capabilities: {} }))['protocolVersion']
    expect(await agreed('2024-11-05')).toBe('2024-11-05')
    expect(await agreed('2025-03-26')).toBe('2025-03-26')
    expect(await agreed('2099-01-01')).toBe('2025-11-25')
    const own = { endpoint: { kind: 'server' as const, name: 'memory' } }
    const answer = resultOf(await ask(gateway, 'initialize', { protocolVersion: '2025-06-18' }, own))
    expect(answer).toMatchObject({ serverInfo: { name: 'memory-server' }, capabilities: { tools: {} } })
    expect(answer['capabilities']).not.toHaveProperty('prompts')
  })
})

describe('replicas', () => {
  it('spreads sessions, keeps each on its instance, and spreads calls without a session', async () => {
    const { gateway } = await gatewayOver({ odd: [crooked, crooked] })
    const pid = async (context: CallContext = {}) =>
      textOf(await ask(gateway, 'tools/call', { name: 'odd__pid' }, context))
    const one = { session: gateway.sessions.open(web, 'u') }
    const two = { session: gateway.sessions.open(web, 'u') }
    const [first, second] = [await pid(one), await pid(two)]
    expect(first).not.toBe(second)
    expect(await Promise.all([pid(one), pid(one), pid(two)])).toEqual([first, first, second])
    expect(new Set([await pid(), await pid()])).toEqual(new Set([first, second]))
  })

  it('tells the caller when an instance dies during its call, and goes on with another', async () => {
    const { gateway, connections } = await gatewayOver({ odd: [crooked, crooked] })
    const context = { session: gateway.sessions.open(web, 'u') }
    const before = textOf(await ask(gateway, 'tools/call', { name: 'odd__pid' }, context))
    expect(await ask(gateway, 'tools/call', { name: 'odd__die' }, context)).toMatchObject({
      error: { code: -32011, data: { server: 'odd', reason: 'InstanceGone' } },
    })
    const after = textOf(await ask(gateway, 'tools/call', { name: 'odd__pid' }, context))
    expect(after).not.toBe(before)
    await until(() => ['odd-0', 'odd-1'].some((uid) => connections.state(uid).phase === 'failed'))
  })

  it('gives a drained instance no new calls and waits for those in flight', async () => {
    const { gateway, connections } = await gatewayOver({ odd: [everything] })
    const args = { duration: 0.3, steps: 1 }
    const slow = ask(gateway, 'tools/call', { name: 'odd__trigger-long-running-operation', arguments: args })
    await until(() => connections.available('odd-0')?.inFlight === 1)
    let drained = false
    const drain = connections.drain('odd-0', 5000).then(() => (drained = true))
    expect(await ask(gateway, 'tools/call', { name: 'odd__echo' })).toMatchObject({ error: { code: -32010 } })
    expect(drained).toBe(false)
    expect(textOf(await slow)).toContain('completed')
    await drain
    connections.drop('odd-0')
    expect(connections.state('odd-0')).toEqual({ phase: 'none' })
  })

  it('stops waiting for a drain when its time is over', async () => {
    const { gateway, connections } = await gatewayOver({ odd: [crooked] })
    const hanging = ask(gateway, 'tools/call', { name: 'odd__hang' })
    await until(() => connections.available('odd-0')?.inFlight === 1)
    await connections.drain('odd-0', 50)
    connections.drop('odd-0')
    expect(await hanging).toMatchObject({ error: { code: -32011 } })
  })

  it('cancels a call of a session and only that', async () => {
    const { gateway, connections } = await gatewayOver({ odd: [crooked] })
    const session = gateway.sessions.open(web, 'u')
    const hanging = ask(gateway, 'tools/call', { name: 'odd__hang' }, { session })
    await until(() => connections.available('odd-0')?.inFlight === 1)
    await gateway.handle(
      web,
      { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'q' } },
      { session },
    )
    expect(await hanging).toMatchObject({ error: { code: -32014 } })
    const seen = textOf(await ask(gateway, 'tools/call', { name: 'odd__cancelled' }, { session }))
    expect(JSON.parse(seen ?? '')).toHaveLength(1)
  })
})
