import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from './driver'

const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'contract', version: '0.0.0' } },
}
const deadlineMs = 60_000

/** What a server calls itself. */
type ServerName = string | undefined

/** Waits until the condition holds, or throws. */
export const until = async <T>(what: string, condition: () => Promise<T | undefined | false>): Promise<T> => {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const found = await condition()
    if (found !== undefined && found !== false) return found
    if (performance.now() > deadline) throw new Error(`waited in vain for: ${what}`)
    await sleep(25)
  }
}

const nameIn = (message: unknown): ServerName =>
  (message as { result?: { serverInfo?: { name?: string } } }).result?.serverInfo?.name

/** Sends a request over the connection's bytes and waits for the answer to it. */
export const ask = async (
  connection: Connection,
  request: { id: number | string; method: string },
): Promise<unknown> => {
  if (connection.transport !== 'stdio') throw new Error('not a stdio connection')
  connection.input.write(`${JSON.stringify({ jsonrpc: '2.0', ...request })}\n`)
  const lines = createInterface({ input: connection.output })
  try {
    for await (const line of lines) {
      const message = JSON.parse(line) as { id?: unknown }
      if (message.id === request.id) return message
    }
  } finally {
    lines.close()
  }
  throw new Error('the connection ended without an answer')
}

/** Calls a tool after the handshake; answers its text. */
export const callTool = async (
  connection: Connection,
  name: string,
  given: Record<string, unknown> = {},
): Promise<string> => {
  const request = { id: randomUUID(), method: 'tools/call', params: { name, arguments: given } }
  const answer = (await ask(connection, request)) as {
    result: { content: { text: string }[]; isError?: boolean }
  }
  const text = answer.result.content.map((part) => part.text).join('')
  if (answer.result.isError === true) throw new Error(text)
  return text
}

const post = async (url: string): Promise<string | undefined> => {
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
  try {
    const signal = AbortSignal.timeout(2_000)
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(initialize), signal })
    return await answer.text()
  } catch {
    // Does not listen yet.
    return undefined
  }
}

/** Shakes hands and answers with the server's name. */
export const handshake = async (connection: Connection): Promise<ServerName> => {
  if (connection.transport === 'stdio') return nameIn(await ask(connection, initialize))
  const text = await until('an answer over http', () => post(connection.url))
  const event = text.split('\n').find((line) => line.startsWith('data: {'))
  return nameIn(JSON.parse(event?.slice('data: '.length) ?? text))
}
