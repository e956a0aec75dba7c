import { jsonEqual } from '@mcpctl/contracts'
import type { Difference } from '@mcpctl/event-store'
import type { ClientBase } from 'pg'
import { tablesAt, type ModelTables } from './model-tables'

interface Row {
  kind: string | null
  name: string | null
  labels: string | null
  to_position: string | null
  object: string | null
}

interface Pair {
  uid: string
  position: string
  stored: Row
  expected: Row
}

const columns = ['kind', 'name', 'labels', 'to_position', 'object']
const asText = (table: string) => columns.map((column) => `${table}.${column}::text`).join(', ')
const asRow = (table: string) =>
  `json_build_object(${columns.map((column) => `'${column}', ${table}.${column}::text`).join(', ')})`

/** The first version of an object, in order of position, that is not the same in the scratch tables. */
const objectDifference = async (tx: ClientBase, storedTables: ModelTables): Promise<Difference | undefined> => {
  const { rows } = await tx.query<Pair>(
    `select uid::text, from_position::text as position, ${asRow('l')} as stored, ${asRow('s')} as expected
     from ${storedTables.object} l full join ${tablesAt('scratch').object} s using (uid, from_position)
     where (${asText('l')}) is distinct from (${asText('s')})
     order by from_position, uid limit 1`,
  )
  const [pair] = rows
  if (!pair) return undefined
  const { uid, position, stored, expected } = pair
  const { kind, name } = expected.kind === null ? stored : expected
  return { subject: { kind: kind ?? '', name: name ?? '', uid }, position, ...fieldOf(stored, expected) }
}

/** The first field that differs. */
const fieldOf = (stored: Row, expected: Row): Pick<Difference, 'path' | 'stored' | 'expected'> => {
  if (expected.object === null) return { stored: parse(stored.object) }
  if (stored.object === null) return { expected: parse(expected.object) }
  const inside = valueDifference(parse(stored.object), parse(expected.object), '')
  if (inside) return inside
  const column = (['kind', 'name', 'labels', 'to_position', 'object'] as const).find(
    (each) => stored[each] !== expected[each],
  )
  return { path: column ?? 'object', stored: stored[column ?? 'object'], expected: expected[column ?? 'object'] }
}

const parse = (text: string | null): unknown => (text === null ? undefined : JSON.parse(text))

type Members = Record<string, unknown>
const membersOf = (value: unknown): Members | undefined =>
  typeof value === 'object' && value !== null ? (value as Members) : undefined

const valueDifference = (
  stored: unknown,
  expected: unknown,
  path: string,
): Required<Pick<Difference, 'path' | 'stored' | 'expected'>> | undefined => {
  if (jsonEqual(stored, expected)) return undefined
  const [left, right] = [membersOf(stored), membersOf(expected)]
  if (!left || !right || Array.isArray(left) !== Array.isArray(right)) return { path, stored, expected }
  const keys = [...new Set([...Object.keys(right), ...Object.keys(left)])]
  const key = keys.find((each) => !jsonEqual(left[each], right[each])) ?? ''
  return valueDifference(left[key], right[key], path === '' ? key : `${path}.${key}`)
}

interface Reference {
  from_kind: string
  from_uid: string
  from_name: string
  to_kind: string
  to_name: string
}

const referenceDifference = async (tx: ClientBase, storedTables: ModelTables): Promise<Difference | undefined> => {
  const { rows } = await tx.query<{ stored: Reference | null; expected: Reference | null }>(
    `select to_json(l) as stored, to_json(s) as expected
     from ${storedTables.reference} l full join ${tablesAt('scratch').reference} s using (from_uid, to_kind, to_name)
     where (l.from_kind, l.from_name) is distinct from (s.from_kind, s.from_name)
     order by from_uid, to_kind, to_name limit 1`,
  )
  const [pair] = rows
  const either = pair?.expected ?? pair?.stored
  if (!pair || !either) return undefined
  const { from_kind: kind, from_name: name, from_uid: uid, to_kind, to_name } = either
  return {
    subject: { kind, name, uid, reference: `${to_kind}/${to_name}` },
    ...(pair.stored && { stored: pair.stored }),
    ...(pair.expected && { expected: pair.expected }),
  }
}

/** The first place where the tables of a version differ from the scratch tables. */
export const firstDifference = async (tx: ClientBase, version: number): Promise<Difference | undefined> =>
  (await objectDifference(tx, tablesAt(version))) ?? (await referenceDifference(tx, tablesAt(version)))
