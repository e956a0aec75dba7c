import type { Readable } from 'node:stream'
import { failure, isFrame, isRequest, nestedDeeperThan, progressToken, protocolVersions, rpcCodes } from './frames'
import type { Gateway } from './gateway'
import { ProgressStream } from './progress-stream'
import type { Session } from './sessions'
import type { EndpointRef, JsonRpcMessage, JsonRpcRequest, JsonRpcResponse } from './types'

/** Header names are lower case, as node gives them. */
export type McpHeaders = Readonly<Record<string, string | string[] | undefined>>

export interface McpRequest {
  method: string
  endpoint: EndpointRef
  headers: McpHeaders
  /** As it came, or parsed already. The caller limits its size. */
  body?: unknown
  user: { uid: string }
  /** Aborted when the client has gone: its call is cancelled, since nobody could receive the answer. */
  signal?: AbortSignal
}

/** `stream` in place of `body` when the answer comes as server-sent events. */
export interface McpAnswer {
  status: number
  headers: Record<string, string>
  body?: string
  stream?: Readable
  /** The session that was named is somebody else's: whoever asks is not told, but it may be recorded. */
  isOthers?: true
}

export interface McpHandler {
  /** Answers one HTTP request on an MCP endpoint. Throws what Routes throws for an endpoint that does not exist. */
  handle(request: McpRequest): Promise<McpAnswer>
}

const maxDepth = 512
const allowed = 'POST, DELETE'
const safe = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }

/** The streamable-HTTP edge of a gateway, for any web framework. Authentication, Origin and Host are checked before it. */
export const mcpHandler = (gateway: Gateway): McpHandler => ({
  async handle(request) {
    try {
      if (request.method === 'POST') return await post(gateway, request)
      if (request.method === 'DELETE') return end(gateway, request)
      const refused = refuse(405, rpcCodes.invalidRequest, `${request.method} is not offered here; use ${allowed}`)
      return { ...refused, headers: { ...refused.headers, allow: allowed } }
    } catch (error) {
      if (error instanceof Refused) return error.answer
      throw error
    }
  },
})

class Refused extends Error {
  constructor(readonly answer: McpAnswer) {
    super('refused')
  }
}

const json = (status: number, frame: JsonRpcResponse, headers: Record<string, string> = {}): McpAnswer => ({
  status,
  headers: { ...safe, 'content-type': 'application/json', ...headers },
  body: JSON.stringify(frame),
})

const refuse = (status: number, code: number, message: string, id: JsonRpcResponse['id'] = null): McpAnswer =>
  json(status, failure(id, { code, message }))

const post = async (gateway: Gateway, request: McpRequest): Promise<McpAnswer> => {
  checkHeaders(request.headers)
  const message = parseBody(request.body)
  if (isRequest(message) && message.method === 'initialize') return initialize(gateway, request, message)
  const session = requireSession(gateway, request)
  const context = { session, ...(request.signal && { signal: request.signal }) }
  if (!isRequest(message)) {
    await gateway.handle(request.endpoint, message, context)
    return { status: 202, headers: safe }
  }
  if (progressToken(message) !== undefined && accepts(request.headers, 'text/event-stream'))
    return stream(gateway, request, { message, session })
  const answer = await gateway.handle(request.endpoint, message, context)
  return answer ? json(200, answer) : { status: 202, headers: safe }
}

const initialize = async (gateway: Gateway, request: McpRequest, message: JsonRpcRequest): Promise<McpAnswer> => {
  const answer = await gateway.handle(request.endpoint, message)
  if (!answer || 'error' in answer)
    return json(200, answer ?? failure(message.id, { code: -32603, message: 'no answer' }))
  const session = gateway.sessions.open(request.endpoint, request.user.uid)
  return json(200, answer, { 'mcp-session-id': session.id })
}

const stream = (
  gateway: Gateway,
  { endpoint, signal }: McpRequest,
  { message, session }: { message: JsonRpcRequest; session: Session },
): McpAnswer => {
  const events = new ProgressStream(signal)
  const context = { session, signal: events.gone, notify: (progress: JsonRpcMessage) => events.progress(progress) }
  gateway.handle(endpoint, message, context).then(
    (answer) => events.finish(answer),
    () => events.finish(failure(message.id, { code: rpcCodes.internal, message: 'the call failed' })),
  )
  return { status: 200, headers: { ...safe, 'content-type': 'text/event-stream' }, stream: events.body }
}

const end = (gateway: Gateway, request: McpRequest): McpAnswer => {
  gateway.sessions.end(requireSession(gateway, request))
  return { status: 204, headers: safe }
}

const one = (headers: McpHeaders, name: string): string | undefined => {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

const checkHeaders = (headers: McpHeaders): void => {
  const type = one(headers, 'content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json')
    throw new Refused(refuse(415, rpcCodes.invalidRequest, 'the content type must be application/json'))
  if (!accepts(headers, 'application/json'))
    throw new Refused(refuse(406, rpcCodes.invalidRequest, 'accept must allow application/json and text/event-stream'))
  const version = one(headers, 'mcp-protocol-version')
  if (version !== undefined && !protocolVersions.some((known) => known === version))
    throw new Refused(
      refuse(
        400,
        rpcCodes.invalidRequest,
        `unsupported MCP-Protocol-Version; supported: ${protocolVersions.join(', ')}`,
      ),
    )
}

const accepts = (headers: McpHeaders, type: string): boolean => {
  const accept = one(headers, 'accept')
  if (accept === undefined) return type === 'application/json'
  const ranges = accept.split(',').map((range) => range.split(';')[0]?.trim().toLowerCase())
  return ranges.some((range) => range === type || range === '*/*' || range === `${type.split('/')[0] ?? ''}/*`)
}

const parseBody = (body: unknown): JsonRpcMessage => {
  const value = typeof body === 'string' || Buffer.isBuffer(body) ? parseText(body.toString()) : body
  if (Array.isArray(value)) throw new Refused(refuse(400, rpcCodes.invalidRequest, 'batches are not supported'))
  if (!isFrame(value)) throw new Refused(refuse(400, rpcCodes.invalidRequest, 'the body is no JSON-RPC 2.0 message'))
  return value
}

const parseText = (text: string): unknown => {
  if (nestedDeeperThan(text, maxDepth))
    throw new Refused(refuse(400, rpcCodes.invalidRequest, `the body is nested deeper than ${maxDepth}`))
  try {
    return JSON.parse(text)
  } catch {
    throw new Refused(refuse(400, rpcCodes.parseError, 'the body is no JSON'))
  }
}

const requireSession = (gateway: Gateway, { headers, endpoint, user }: McpRequest): Session => {
  const id = one(headers, 'mcp-session-id')
  if (id === undefined)
    throw new Refused(refuse(400, rpcCodes.invalidRequest, 'Mcp-Session-Id is missing; start with initialize'))
  const session = gateway.sessions.find(id, endpoint, user.uid)
  // The same answer for a session of somebody else: whether an id exists is nobody's business.
  if (!session) {
    const answer = refuse(404, rpcCodes.invalidRequest, 'no such session; start with initialize')
    throw new Refused(gateway.sessions.isOthers(id, user.uid) ? { ...answer, isOthers: true } : answer)
  }
  return session
}
