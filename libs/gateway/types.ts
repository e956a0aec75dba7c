/** A JSON-RPC frame. What is not looked at is passed on as it came. */
export interface JsonRpcRequest {
  jsonrpc: '2.0'
  id: string | number
  method: string
  params?: Record<string, unknown>
}
export interface JsonRpcNotification {
  jsonrpc: '2.0'
  method: string
  params?: Record<string, unknown>
}
export interface JsonRpcError {
  code: number
  message: string
  data?: unknown
}
export type JsonRpcResponse =
  | { jsonrpc: '2.0'; id: string | number | null; result: Record<string, unknown> }
  | { jsonrpc: '2.0'; id: string | number | null; error: JsonRpcError }
export type JsonRpcMessage = JsonRpcRequest | JsonRpcNotification | JsonRpcResponse

/** What `initialize` answered; kept in the log so that a session can be taken up again after a restart of mcpd. */
export interface Negotiated {
  protocolVersion: string
  capabilities: Record<string, unknown>
  serverInfo: { name: string; version: string }
  instructions?: string
}

/** A running instance's MCP session, shared by everybody who calls it. */
export interface Upstream {
  readonly negotiated: Negotiated
  /** Requests that wait for their answer. */
  readonly inFlight: number
  /** Sends a request and answers with the server's own frame, its id put back. Throws UpstreamGone when the session ends first. */
  request(request: JsonRpcRequest, options?: { signal?: AbortSignal; timeoutMs?: number }): Promise<JsonRpcResponse>
  notify(notification: JsonRpcNotification): Promise<void>
  /** Throws when the server does not answer a ping in time. */
  ping(timeoutMs: number): Promise<void>
  /** Called once, when the session has ended. */
  onClose(listener: () => void): void
  close(): Promise<void>
}

/** The session ended before the answer came. */
export class UpstreamGone extends Error {
  override readonly name = 'UpstreamGone'
}

/** Where an instance's connection stands. */
export type ConnectionState =
  | { phase: 'none' }
  /** Shaking hands; `since` in milliseconds of the monotonic clock. */
  | { phase: 'connecting'; since: number; lastError?: string }
  | { phase: 'ready'; upstream: Upstream; tools: number }
  /** The handshake never came, or the server stopped answering: the instance should be started anew. */
  | { phase: 'failed'; reason: 'ProbeFailed' | 'ProtocolError'; message: string }

/** What a gateway endpoint stands for. */
export type EndpointRef = { kind: 'server' | 'project'; name: string }

/** One server behind an endpoint and its instances that may take calls. */
export interface EndpointServer {
  name: string
  instances: { uid: string; name: string }[]
}

/** Where calls go; read for each request. Throws NotFound when the endpoint does not exist. */
export interface Routes {
  servers(endpoint: EndpointRef): Promise<EndpointServer[]>
}
