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

export interface RequestOptions {
  signal?: AbortSignal
  /** Counted anew from each progress notification. */
  timeoutMs?: number
  /** Receives the call's progress, with the progress token of the request. */
  onProgress?: (notification: JsonRpcNotification) => void
}

/** A running instance's MCP session, shared by everybody who calls it. */
export interface Upstream {
  readonly negotiated: Negotiated
  /** Requests that wait for their answer. */
  readonly inFlight: number
  /**
   * Sends a request and answers with the server's own frame, its id put back. Aborting the signal cancels it at the server.
   * Throws UpstreamGone when the session ends first, UpstreamTimeout, UpstreamRefused, or RequestCancelled.
   */
  request(request: JsonRpcRequest, options?: RequestOptions): Promise<JsonRpcResponse>
  notify(notification: JsonRpcNotification): Promise<void>
  /** Throws when the server does not answer a ping in time. */
  ping(timeoutMs: number): Promise<void>
  /** Called for what the server says of its own accord, progress of calls apart. */
  onNotification(listener: (notification: JsonRpcNotification) => void): void
  /** Called once, when the session has ended; at once when it has ended already. */
  onClose(listener: () => void): void
  /** Resolves when no request waits for its answer. */
  whenIdle(): Promise<void>
  close(): Promise<void>
}

/** The session ended before the answer came. Only if `sent` is false is it certain that the server never saw the request. */
export class UpstreamGone extends Error {
  override readonly name = 'UpstreamGone'

  constructor(
    message: string,
    readonly sent = true,
  ) {
    super(message)
  }
}

/** The server took longer than the request allowed. */
export class UpstreamTimeout extends Error {
  override readonly name = 'UpstreamTimeout'
}

/** The server, or the way to it, answered with something that is no MCP answer: an HTTP status, a frame too large. */
export class UpstreamRefused extends Error {
  override readonly name = 'UpstreamRefused'
}

/** The handshake was answered, but not as MCP asks. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

/** The caller gave up before the answer came. */
export class RequestCancelled extends Error {
  override readonly name = 'RequestCancelled'
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
