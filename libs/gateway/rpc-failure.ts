import { failure, rpcCodes } from './frames'
import type { JsonRpcResponse } from './types'
import { RequestCancelled, UpstreamGone, UpstreamRefused, UpstreamTimeout } from './types'

/** A refusal in JSON-RPC's terms. */
export class RpcFailure extends Error {
  override readonly name = 'RpcFailure'

  constructor(
    readonly code: number,
    message: string,
    readonly data?: Record<string, unknown>,
  ) {
    super(message)
  }

  toResponse(id: JsonRpcResponse['id']): JsonRpcResponse {
    return failure(id, { code: this.code, message: this.message, ...(this.data && { data: this.data }) })
  }
}

/** Says in a client's terms what went wrong between us and a server. What it does not know is passed through. */
export const explain = (error: unknown, server: string, instance: string): unknown => {
  const say = (code: number, reason: string, message: string) =>
    new RpcFailure(code, message, { server, instance, reason })
  if (error instanceof UpstreamGone) {
    const effect = error.sent ? 'the call may or may not have taken effect' : 'the call was not sent'
    const message = `instance "${instance}" of server "${server}" ended during the call: ${effect}; call again: another instance answers, or this one once it has started anew`
    return say(rpcCodes.instanceGone, 'InstanceGone', message)
  }
  if (error instanceof UpstreamTimeout)
    return say(rpcCodes.upstreamTimeout, 'Timeout', `server "${server}" (${instance}) gave ${error.message}`)
  if (error instanceof UpstreamRefused)
    return say(rpcCodes.upstreamRefused, 'Refused', `server "${server}" (${instance}): ${error.message}`)
  if (error instanceof RequestCancelled) return say(rpcCodes.cancelled, 'Cancelled', error.message)
  return error
}
