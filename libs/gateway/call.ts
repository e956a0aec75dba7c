import type { Session } from './sessions'
import type { EndpointRef, EndpointServer, JsonRpcNotification, JsonRpcRequest } from './types'

/** What surrounds a message: whose session it is, when to give up, and where progress goes. */
export interface CallContext {
  session?: Session
  signal?: AbortSignal
  notify?: (notification: JsonRpcNotification) => void
}

/** One request on its way through. */
export interface Call {
  endpoint: EndpointRef
  servers: EndpointServer[]
  request: JsonRpcRequest
  context: CallContext
}
