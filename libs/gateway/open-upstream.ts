import type { Connection } from '@mcpctl/runtime/driver'
import { errorText, protocolVersions } from './frames'
import { HttpUpstream } from './http-upstream'
import { StdioUpstream } from './stdio-upstream'
import type { JsonRpcResponse, Negotiated, Upstream } from './types'
import { ProtocolError, UpstreamTimeout } from './types'

export interface OpenOptions {
  /** Tells this life of the daemon from earlier ones; part of every request id. */
  bootId: string
  clientInfo: { name: string; version: string }
  /** Time for each step of the handshake, in milliseconds. */
  timeoutMs: number
  /** What an earlier life agreed with a server that still runs: its session is taken up, not opened. */
  resume?: Negotiated
}

/**
 * Opens, or takes up again, the MCP session of a running server.
 * Throws ProtocolError, UpstreamGone, UpstreamTimeout or UpstreamRefused, and has then let go of the connection.
 */
export const openUpstream = async (connection: Connection, options: OpenOptions): Promise<Upstream> => {
  const upstream =
    connection.transport === 'stdio'
      ? new StdioUpstream(connection, options.bootId)
      : new HttpUpstream(connection, options.bootId)
  try {
    if (options.resume && upstream instanceof StdioUpstream) await takeUp(upstream, options.resume, options.timeoutMs)
    else await shakeHands(upstream, { ...options, redact: connection.redact ?? asItIs })
    return upstream
  } catch (error) {
    await upstream.close()
    throw garbled(upstream, error) ?? error
  }
}

/** A server that writes its log to standard output is the usual reason for no answer; what it wrote is not repeated, it may hold secrets. */
const garbled = (upstream: Upstream, error: unknown): ProtocolError | undefined => {
  if (!(upstream instanceof StdioUpstream) || !(error instanceof UpstreamTimeout)) return undefined
  const { garbage, oversized } = upstream.dropped
  const dropped = garbage + oversized
  if (dropped === 0) return undefined
  const what = oversized > 0 ? 'not MCP messages or longer than 4 MiB' : 'not MCP messages'
  return new ProtocolError(
    `no answer to initialize, and ${dropped} lines on standard output that are ${what}; a stdio server must log to standard error`,
  )
}

/**
 * The first ping may end up glued to a half line that the former life wrote, and its answer behind the rest of a line:
 * both are lost as garbage. The second cannot.
 */
const takeUp = async (upstream: StdioUpstream, resume: Negotiated, timeoutMs: number): Promise<void> => {
  upstream.negotiated = resume
  const ping = async () => {
    const answer = await upstream.request({ jsonrpc: '2.0', id: 0, method: 'ping' }, { timeoutMs: timeoutMs / 2 })
    if ('error' in answer) throw new ProtocolError(`ping was answered: ${errorText(answer.error)}`)
  }
  await ping().catch((error: unknown) => {
    if (error instanceof UpstreamTimeout) return ping()
    throw error
  })
}

const shakeHands = async (
  upstream: StdioUpstream | HttpUpstream,
  options: OpenOptions & { redact: (text: string) => string },
): Promise<void> => {
  const initialize = async () => {
    const params = { protocolVersion: protocolVersions[0], capabilities: {}, clientInfo: options.clientInfo }
    const { timeoutMs } = options
    const answer = await upstream.request({ jsonrpc: '2.0', id: 0, method: 'initialize', params }, { timeoutMs })
    upstream.negotiated = withoutSecrets(parseNegotiated(answer), options.redact)
    await upstream.notify({ jsonrpc: '2.0', method: 'notifications/initialized' })
  }
  if (upstream instanceof HttpUpstream) upstream.renew = initialize
  await initialize()
}

/** Of a server that was given no secrets. */
export const asItIs = (text: string): string => text

/** It is kept with the instance, and shown to whoever may see that. */
const withoutSecrets = (negotiated: Negotiated, redact: (text: string) => string): Negotiated =>
  JSON.parse(JSON.stringify(negotiated), (_, each: unknown) =>
    typeof each === 'string' ? redact(each) : each,
  ) as Negotiated

const parseNegotiated = (answer: JsonRpcResponse): Negotiated => {
  if ('error' in answer) throw new ProtocolError(`initialize was answered: ${errorText(answer.error)}`)
  const { protocolVersion, capabilities, serverInfo, instructions } = answer.result as Partial<Negotiated>
  if (!protocolVersions.some((version) => version === protocolVersion))
    throw new ProtocolError(`the server speaks MCP ${String(protocolVersion).slice(0, 40)}, which is not supported`)
  return {
    protocolVersion: String(protocolVersion),
    capabilities: capabilities ?? {},
    serverInfo: serverInfo ?? { name: 'unknown', version: '' },
    ...(typeof instructions === 'string' && { instructions }),
  }
}
