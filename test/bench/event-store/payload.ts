import { v7 as uuidv7 } from 'uuid'
import type { ClaimChange, EventMeta, JsonObject } from '@mcpctl/event-store'

/** An event as every store gets it: the same bytes of data and meta. */
export interface Payload {
  id: string
  type: string
  data: JsonObject
  meta: EventMeta
  /** The name that the event takes; only stores that know claims do something with it. */
  claims: ClaimChange[]
}

const actor = { uid: '018f0000-0000-7000-8000-000000000001', name: 'ana' }

const template = {
  image: 'ghcr.io/example/server-github@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  transport: 'stdio',
  command: [],
  args: ['--read-only', '--toolsets=repos,issues'],
  env: [{ name: 'LOG_LEVEL', value: 'info' }],
}

/** About 0.5 kB of JSON: the creation of a server, with who did it. */
export const payload = (nth: number): Payload => {
  const id = uuidv7()
  return {
    id,
    type: 'ServerCreated',
    data: { name: `github-${id}`, labels: { team: 'core', tier: 'free' }, annotations: {}, template, replicas: 2 },
    meta: {
      actor,
      commandId: id,
      correlationId: id,
      sourceAddress: '192.0.2.10',
      userAgent: 'mcpctl/0.1.0 linux-x64',
    },
    // An object takes its name once, with its first event.
    claims: nth === 0 ? [{ op: 'take', scope: 'name', key: `server/github-${id}` }] : [],
  }
}
