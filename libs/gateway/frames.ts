import type { JsonRpcError, JsonRpcMessage, JsonRpcNotification, JsonRpcRequest, JsonRpcResponse } from './types'

/** Revisions of MCP that the gateway speaks, newest first. */
export const protocolVersions = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'] as const

/** Longest frame that is taken from a server, in bytes. */
export const maxFrameBytes = 4 * 1024 * 1024

/** JSON-RPC codes: the standard ones, and ours out of the range left to servers. */
export const rpcCodes = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  resourceNotFound: -32002,
  noReadyReplica: -32010,
  instanceGone: -32011,
  upstreamTimeout: -32012,
  upstreamRefused: -32013,
  cancelled: -32014,
} as const

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isId = (value: unknown): value is string | number => typeof value === 'string' || typeof value === 'number'

/** Whether a value is a JSON-RPC frame: a request, a notification or a response. */
export const isFrame = (value: unknown): value is JsonRpcMessage => {
  if (!isObject(value) || value['jsonrpc'] !== '2.0') return false
  if ('params' in value && !isObject(value['params'])) return false
  if (typeof value['method'] === 'string') return !('id' in value) || isId(value['id'])
  return 'id' in value && (isObject(value['result']) || isObject(value['error']))
}

/** The frame in a text, or undefined when there is none. */
export const parseFrame = (text: string): JsonRpcMessage | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return isFrame(value) ? value : undefined
  } catch {
    return undefined
  }
}

export const isRequest = (message: JsonRpcMessage): message is JsonRpcRequest => 'method' in message && 'id' in message

export const isNotification = (message: JsonRpcMessage): message is JsonRpcNotification =>
  'method' in message && !('id' in message)

export const isResponse = (message: JsonRpcMessage): message is JsonRpcResponse => !('method' in message)

export const success = (id: string | number | null, result: Record<string, unknown>): JsonRpcResponse => ({
  jsonrpc: '2.0',
  id,
  result,
})

export const failure = (id: string | number | null, error: JsonRpcError): JsonRpcResponse => ({
  jsonrpc: '2.0',
  id,
  error,
})

/** What we say to a server that asks its client for something: alive, and nothing else. */
export const answerServer = (request: JsonRpcRequest): JsonRpcResponse =>
  request.method === 'ping'
    ? success(request.id, {})
    : failure(request.id, {
        code: rpcCodes.methodNotFound,
        message: `${request.method} is not supported by this client`,
      })

/** The token under which a request wants to hear of its progress. */
export const progressToken = (request: { params?: Record<string, unknown> }): string | number | undefined => {
  const meta = request.params?.['_meta']
  const token = isObject(meta) ? meta['progressToken'] : undefined
  return isId(token) ? token : undefined
}

/** The request under another id; a progress token becomes that id too, since clients choose theirs without knowing of each other. */
export const renumbered = (request: JsonRpcRequest, id: string): JsonRpcRequest => {
  if (progressToken(request) === undefined) return { ...request, id }
  const meta = request.params?.['_meta'] as Record<string, unknown>
  return { ...request, id, params: { ...request.params, _meta: { ...meta, progressToken: id } } }
}

/** Nesting of a JSON text, without parsing it: parsers and printers recurse, and a hostile text is made to exhaust their stack. */
export const nestedDeeperThan = (text: string, limit: number): boolean => {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i)
    if (char === '"') i = endOfString(text, i)
    else if (char === '{' || char === '[') depth++
    else if (char === '}' || char === ']') depth--
    if (depth > limit) return true
  }
  return false
}

const endOfString = (text: string, start: number): number => {
  let i = start + 1
  while (i < text.length && text.charAt(i) !== '"') i += text.charAt(i) === '\\' ? 2 : 1
  return i
}

/** What a server's error says, cut to a length that a log line bears. */
export const errorText = (error: { message?: unknown }): string => String(error.message).slice(0, 300)
