import type { Kind, ManifestEntry, ResourceObject } from '@mcpctl/contracts'
import { ApiError } from '@mcpctl/client'
import { ManifestRefused } from '../errors'
import { toBundle, toJson } from '../output/bundle'
import type { Session } from '../session'
import { waitForRollout } from '../waiting'
import type { ManifestObject } from './parse'

export const createFormats = ['text', 'name', 'yaml', 'json'] as const

export interface CreateStyle {
  /** Who decides when nothing is to be written: the daemon, or nobody. Absent: it is written. */
  dryRun?: 'client' | 'server'
  wait: boolean
  timeoutMs: number
  format: (typeof createFormats)[number]
}

const suffixes = { none: '', client: ' (dry run)', server: ' (server dry run)' }

/** What the daemon would answer, as far as a client can know it. */
export const asObject = (kind: Kind, entry: ManifestEntry): ResourceObject => {
  const { name, labels = {}, annotations = {}, ...spec } = entry
  const metadata = {
    name,
    labels,
    annotations,
    uid: '',
    resourceVersion: '',
    generation: 1,
    createdAt: '',
    createdBy: '',
  }
  return { kind: kind.name, metadata, spec, status: {} } as ResourceObject
}

/** Sends one object; a refusal becomes one that names the places of the fields concerned. */
const sendOne = async (
  { kind, entry, locate }: ManifestObject,
  send: () => Promise<ResourceObject>,
): Promise<ResourceObject> => {
  try {
    return await send()
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    const path = (pointer: string) =>
      pointer
        .split('/')
        .slice(1)
        .filter((part, index) => index > 0 || (part !== 'spec' && part !== 'metadata'))
    const where = (pointer: string) => locate(path(pointer)) || undefined
    throw new ManifestRefused(error, where, 0, () => ({ kind: kind.name, name: entry.name }))
  }
}

/** Creates the object as the style says, or only shows it. Throws `ManifestRefused` with the places of the fields concerned. */
export const sendCreate = async (
  session: Session,
  object: ManifestObject,
  style: Pick<CreateStyle, 'dryRun'> = {},
): Promise<ResourceObject> => {
  const { kind, entry } = object
  if (style.dryRun === 'client') return asObject(kind, entry)
  return sendOne(object, () => session.client.create(kind.plural, entry, { dryRun: style.dryRun === 'server' }))
}

/** Writes the whole object, provided that it is still as it was at `resourceVersion`. Throws as `sendCreate` does. */
export const sendReplace = async (
  session: Session,
  object: ManifestObject,
  resourceVersion: string,
): Promise<ResourceObject> =>
  sendOne(object, () => session.client.replace(object.kind.plural, object.entry, resourceVersion))

export const printCreated = async (
  session: Session,
  created: readonly { kind: Kind; object: ResourceObject }[],
  { format, dryRun }: CreateStyle,
): Promise<void> => {
  const bundle = () =>
    toBundle(
      created.map(({ kind, object }) => ({ kind, objects: [object] })),
      false,
    )
  switch (format) {
    case 'json':
      session.print(toJson(bundle()))
      return
    case 'yaml': {
      const { toYaml } = await import('../output/yaml')
      session.print(toYaml(bundle()))
      return
    }
    case 'name':
    case 'text': {
      const suffix = format === 'name' ? '' : ` created${suffixes[dryRun ?? 'none']}`
      for (const { kind, object } of created) session.print(`${kind.singular}/${object.metadata.name}${suffix}\n`)
    }
  }
}

/** Creates the object, or only shows it, and waits for it if asked to. */
export const createOne = async (session: Session, object: ManifestObject, style: CreateStyle): Promise<void> => {
  const { kind, entry } = object
  const created = await sendCreate(session, object, style)
  await printCreated(session, [{ kind, object: created }], style)
  await waitForCreated(session, kind, entry.name, style)
}

export const waitForCreated = async (session: Session, kind: Kind, name: string, style: CreateStyle): Promise<void> => {
  if (style.wait && !style.dryRun && kind.plural === 'servers')
    await waitForRollout(session.client, { kind, name }, style.timeoutMs)
}
