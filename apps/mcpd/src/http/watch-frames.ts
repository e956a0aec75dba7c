import type { DomainError, Kind, ResourceObject } from '@mcpctl/contracts'
import type { ObjectChange } from '@mcpctl/read-model'
import { problemOf } from './problem.filter'
import { visibleToAll } from './visible'

export type Told = 'ADDED' | 'MODIFIED' | 'DELETED'

/** What a client waits for before it comes back. Milliseconds. */
const RETRY_MS = 2_000
/** The same, when the daemon ends: another one, or the next, is there soon. */
const RETRY_SOON_MS = 500

export const opening = `retry: ${String(RETRY_MS)}\n\n`
export const goodbye = `retry: ${String(RETRY_SOON_MS)}\n\n`
export const heartbeat = ':\n\n'

const frame = (type: string, data: unknown, id?: string): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`

/** An object that is there when a watch begins. Without an id: who has not seen all of them begins again. */
export const present = (object: ResourceObject): string => frame('ADDED', visibleToAll(object))

/** Everything up to this version has been told. */
export const bookmark = (kind: Kind, version: string, isStart = false): string => {
  const annotations = { annotations: { 'mcpctl.dev/initial-events-end': 'true' } }
  return frame(
    'BOOKMARK',
    { kind: kind.name, metadata: { resourceVersion: version, ...(isStart && annotations) } },
    version,
  )
}

export const failure = (error: DomainError, requestId: string): string => frame('ERROR', problemOf(error, requestId))

const texts = new WeakMap<ObjectChange, Partial<Record<Told, string>>>()

/** A change as it is told; written once for all who are told the same. What is gone is shown as it was last, at the version that ended it. */
export const changed = (type: Told, change: ObjectChange, epoch: number): string => {
  const known = texts.get(change) ?? {}
  texts.set(change, known)
  return (known[type] ??= write(type, change, `${String(epoch)}.${String(change.position)}`))
}

const write = (type: Told, { before, after }: ObjectChange, version: string): string => {
  const told = type === 'DELETED' ? before : after
  const object = told && visibleToAll(told)
  return frame(type, object && { ...object, metadata: { ...object.metadata, resourceVersion: version } }, version)
}
