import type { Caller } from './caller'

export interface McpReply {
  status: number
  session: string | undefined
  body: {
    result?: { tools?: { name: string }[]; content?: { text?: string }[] }
    error?: { code: number; message: string }
  }
}

const hello = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'access', version: '1' } }

/** One JSON-RPC message to an endpoint (`servers/github`, `projects/web`), as bytes on the wire. */
export const exchange = async (caller: Caller, at: string, message: object, session?: string): Promise<McpReply> => {
  const asking = session === undefined ? caller : caller.with({ 'mcp-session-id': session })
  const answer = await asking.open('POST', `/mcp/${at}`, {
    body: { jsonrpc: '2.0', ...message },
    accept: 'application/json, text/event-stream',
  })
  const text = await answer.text()
  const json = answer.headers.get('content-type')?.startsWith('text/event-stream')
    ? (text.split('\n').findLast((line) => line.startsWith('data: {')) ?? 'data: {}').slice('data: '.length)
    : text
  return {
    status: answer.status,
    session: answer.headers.get('mcp-session-id') ?? session,
    body: (json === '' ? {} : JSON.parse(json)) as McpReply['body'],
  }
}

/** Opens a session at an endpoint. */
export const initialize = async (caller: Caller, at: string): Promise<McpReply> => {
  const opened = await exchange(caller, at, { id: 1, method: 'initialize', params: hello })
  if (opened.status === 200) await exchange(caller, at, { method: 'notifications/initialized' }, opened.session)
  return opened
}

export const isAnswered = ({ status, body }: McpReply): boolean => status === 200 && body.error === undefined

/** Whether the answer is a JSON-RPC error for want of a right. */
export const isForbidden = ({ body }: McpReply): boolean => body.error?.message.includes('forbidden') === true

/** Opens a session and calls `echo`; a refusal of either is the answer. */
export const callEcho = async (caller: Caller, at: string, tool = 'echo'): Promise<McpReply> => {
  const opened = await initialize(caller, at)
  if (opened.status !== 200 || opened.body.error) return opened
  const params = { name: tool, arguments: { message: 'hello' } }
  return exchange(caller, at, { id: 2, method: 'tools/call', params }, opened.session)
}

export const toolsAt = async (caller: Caller, at: string): Promise<string[]> => {
  const { session } = await initialize(caller, at)
  const { body } = await exchange(caller, at, { id: 2, method: 'tools/list' }, session)
  return (body.result?.tools ?? []).map(({ name }) => name)
}
