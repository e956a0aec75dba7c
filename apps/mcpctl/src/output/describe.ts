import type { Condition, Kind, ResourceObject } from '@mcpctl/contracts'
import { serverDefaults, serverKind } from '@mcpctl/kinds/server/server.kind'
import { age } from './age'
import type { Found } from './bundle'
import { columnsOf, cell, valueAt } from './columns'
import { escapeText } from './escape'
import { secretReferenceText } from './secret-references'
import { formatTable } from './table'

/** What stands around an object and is shown with it. */
export interface Surroundings {
  instances?: Found
  /** Sections that were made elsewhere, and the fields that they show. */
  sections?: { text: string; fields: readonly string[] }
}

/** A title and what stands beside it; several values stand below each other. */
type Line = [title: string, value: string | string[]]

const none = '<none>'

/** `templateHash` → `Template Hash`. */
const titleOf = (field: string): string =>
  ['url', 'kek'].includes(field)
    ? field.toUpperCase()
    : field.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/^./, (first) => first.toUpperCase())

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const pairText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** `{name: LOG, value: info}` → `LOG=info`, `{kind: User, name: alice}` → `User/alice`, else the item as it is. */
const itemText = (item: unknown): string => {
  if (!isRecord(item)) return pairText(item)
  const reference = secretReferenceText(item)
  if (reference !== undefined) return reference
  const { name, value, kind } = item
  if (typeof name === 'string' && value !== undefined) return `${name}=${pairText(value)}`
  if (typeof name === 'string' && typeof kind === 'string') return `${kind}/${name}`
  return JSON.stringify(item)
}

/** `{uid, version: 4}` → `version 4`, for what an instance was given. */
const versionText = (value: unknown): string | undefined =>
  isRecord(value) && typeof value['version'] === 'number' ? `version ${String(value['version'])}` : undefined

/** One value as text: lists and maps item by item, what is absent or empty as `<none>`. */
const valueText = (value: unknown): string | string[] => {
  if (value === undefined || value === null || value === '') return none
  if (Array.isArray(value)) {
    // Words of a command line must be told apart even when they hold spaces.
    return value.length === 0 ? none : value.map(itemText)
  }
  if (isRecord(value)) {
    const pairs = Object.entries(value).map(([key, one]) => `${key}=${versionText(one) ?? pairText(one)}`)
    return pairs.length === 0 ? none : pairs
  }
  return typeof value === 'boolean' ? (value ? 'yes' : 'no') : pairText(value)
}

const formatLines = (lines: readonly Line[]): string => {
  const titleWidth = Math.max(...lines.map(([title]) => title.length)) + 1
  return lines
    .flatMap(([title, value]) => {
      const values = Array.isArray(value) ? value : [value]
      return values.map((one, index) => {
        const head = index === 0 ? `${title}:` : ''
        return `${head.padEnd(titleWidth)}  ${escapeText(one)}\n`
      })
    })
    .join('')
}

const instant = (value: unknown, now: number): string =>
  typeof value === 'string' && value !== '' ? `${value} (${age(value, now)} ago)` : none

const identity = ({ metadata, status }: ResourceObject, now: number): Line[] => {
  const observed = status['observedGeneration']
  const seen = typeof observed === 'number' ? ` (observed ${String(observed)})` : ''
  return [
    ['Name', metadata.name],
    ['UID', metadata.uid],
    ['Labels', valueText(metadata.labels)],
    ['Annotations', valueText(metadata.annotations)],
    ['Created', `${instant(metadata.createdAt, now)}${metadata.createdBy ? ` by ${metadata.createdBy}` : ''}`],
    ...(metadata.deletionTimestamp
      ? ([['Terminating since', instant(metadata.deletionTimestamp, now)]] satisfies Line[])
      : []),
    ['Generation', `${String(metadata.generation)}${seen}`],
  ]
}

const countAt = (object: ResourceObject, path: string): number => {
  const value = valueAt(object, path)
  return typeof value === 'number' ? value : 0
}

const replicasText = (object: ResourceObject): string => {
  const total = countAt(object, 'status.replicas')
  const available = countAt(object, 'status.availableReplicas')
  return [
    `${String(countAt(object, 'spec.replicas'))} desired`,
    `${String(countAt(object, 'status.updatedReplicas'))} updated`,
    `${String(total)} total`,
    `${String(available)} available`,
    `${String(Math.max(0, total - available))} unavailable`,
  ].join(' | ')
}

/** Status fields that another section shows. */
const shownElsewhere = new Set([
  'conditions',
  'observedGeneration',
  'replicas',
  'updatedReplicas',
  'readyReplicas',
  'availableReplicas',
])

const exitText = (value: unknown, now: number): string => {
  if (!isRecord(value)) return none
  const { code, signal, oom, at, reason } = value
  const parts = [
    typeof reason === 'string' && reason !== '' ? reason : undefined,
    typeof code === 'number' ? `code ${String(code)}` : undefined,
    typeof signal === 'string' && signal !== '' ? `signal ${signal}` : undefined,
    oom === true ? 'out of memory' : undefined,
    typeof at === 'string' ? `${age(at, now)} ago` : undefined,
  ]
  return parts.filter((part) => part !== undefined).join(', ') || none
}

const implementationText = (value: unknown): string =>
  isRecord(value) ? `${pairText(value['name'] ?? none)} ${pairText(value['version'] ?? '')}`.trimEnd() : none

const statusFormats: Record<string, (value: unknown, now: number) => string> = {
  lastExit: exitText,
  nextStartAt: (value) => (typeof value === 'string' ? value : none),
  serverInfo: implementationText,
  handshake: (value) =>
    isRecord(value)
      ? `${implementationText(value['serverInfo'])}, protocol ${pairText(value['protocolVersion'] ?? none)}`
      : none,
  // A list of tools is as long as the server pleases; its length tells enough.
  tools: (value) => (Array.isArray(value) ? String(value.length) : pairText(value ?? none)),
}

const statusValue = (field: string, value: unknown, now: number): string | string[] => {
  const format = Object.hasOwn(statusFormats, field) ? statusFormats[field] : undefined
  if (format) return format(value, now)
  return /(At|Since)$/.test(field) ? instant(value, now) : valueText(value)
}

/** What holds, said or not. */
const effective = (kind: Kind, field: string, value: unknown): unknown => {
  const preset: unknown = kind.name === serverKind.name ? Reflect.get(serverDefaults, field) : undefined
  return isRecord(preset) && (value === undefined || isRecord(value)) ? { ...preset, ...value } : (value ?? preset)
}

const specLines = (kind: Kind, object: ResourceObject, elsewhere: readonly string[]): Line[] =>
  without(kind.fields, elsewhere).map((field): Line => {
    if (field === 'replicas') return ['Replicas', replicasText(object)]
    return [titleOf(field), valueText(effective(kind, field, object.spec[field]))]
  })

const without = (fields: readonly string[], elsewhere: readonly string[]): string[] =>
  fields.filter((field) => !elsewhere.includes(field))

const statusLines = ({ status }: ResourceObject, now: number, elsewhere: readonly string[]): Line[] =>
  Object.entries(status)
    .filter(([field]) => !shownElsewhere.has(field) && !elsewhere.includes(field))
    .map(([field, value]): Line => [titleOf(field), statusValue(field, value, now)])

/** A table under a title, indented; the first row is the header. */
export const section = (title: string, rows: string[][]): string => {
  if (rows.length < 2) return `${title}:  ${none}\n`
  const indented = formatTable(rows).replace(/^(?=.)/gm, '  ')
  return `${title}:\n${indented}`
}

const conditionsSection = ({ status }: ResourceObject, now: number): string => {
  const conditions = (status['conditions'] ?? []) as Condition[]
  return section('Conditions', [
    ['TYPE', 'STATUS', 'REASON', 'SINCE', 'MESSAGE'],
    ...conditions.map(({ type, status: value, reason, message, lastTransitionTime }) => [
      type,
      value,
      reason,
      age(lastTransitionTime, now),
      message,
    ]),
  ])
}

const instanceColumns = ['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE']

const instancesSection = ({ kind, objects }: Found, now: number): string => {
  const columns = columnsOf(kind, false).filter(({ header }) => instanceColumns.includes(header))
  const rows = objects.map((instance) => [
    ...columns.map((column) => cell(instance, column, now)),
    exitText(instance.status['lastExit'], now),
  ])
  return section('Instances', [[...columns.map(({ header }) => header), 'LAST-EXIT'], ...rows])
}

const referencedLines = (object: ResourceObject, elsewhere: readonly string[]): Line[] => {
  const references: unknown = Reflect.get(object, 'referencedBy')
  if (!isRecord(references)) return []
  return without(Object.keys(references), elsewhere).map((plural): Line => [
    titleOf(plural),
    valueText(Reflect.get(references, plural)),
  ])
}

/** Everything that is known of an object: identity, what is wanted, what is, conditions, and what stands around it. */
export const describeObject = (kind: Kind, object: ResourceObject, around: Surroundings, now = Date.now()): string => {
  const { text = '', fields = [] } = around.sections ?? {}
  const lines = [
    ...identity(object, now),
    ...specLines(kind, object, fields),
    ...statusLines(object, now, fields),
    ...referencedLines(object, fields),
  ]
  return [
    formatLines(lines),
    ...(Array.isArray(object.status['conditions']) ? [conditionsSection(object, now)] : []),
    ...(around.instances ? [instancesSection(around.instances, now)] : []),
    text,
  ].join('')
}
