import { LineCounter, isMap, isNode, isScalar, isSeq, parseAllDocuments, visit } from 'yaml'
import type { Document, Node, ParsedNode, YAMLMap } from 'yaml'
import { didYouMean, findKind, maskSecrets } from '@mcpctl/contracts'
import type { Kind, Manifest, ManifestEntry } from '@mcpctl/contracts'
import { kinds } from '@mcpctl/kinds/kinds'
import { usage } from '../errors'
import type { Locate } from '../errors'
import type { Source } from './files'

/** One object of a manifest and the place that it was written at. */
export interface ManifestObject {
  kind: Kind
  entry: ManifestEntry
  /** `team.yaml:7`, of the field at this path of the entry, or of the nearest thing around it. */
  locate: (path: readonly string[]) => string
}

interface File {
  source: Source
  document: Document.Parsed
  counter: LineCounter
}

const forbiddenKeys = new Set(['__proto__', 'constructor', 'prototype'])
const applicable = kinds.filter((kind) => kind.applyOrder !== undefined)

const position = ({ source, counter }: File, node: unknown): string => {
  const offset = isNode(node) ? node.range?.[0] : undefined
  return offset === undefined ? source.name : `${source.name}:${String(counter.linePos(offset).line)}`
}

const fault = (file: File, node: unknown, text: string) => usage(`${position(file, node)}: ${text}`)

const checkScalar = (file: File, node: unknown, value: unknown): void => {
  if (typeof value !== 'number') return
  if (!Number.isFinite(value)) throw fault(file, node, 'a number must be finite')
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    throw fault(file, node, 'this number is too large to be exact; quote it')
}

/** What one reader of YAML understands otherwise than the next has no place in a manifest. */
const checkNodes = (file: File): void => {
  visit(file.document, {
    Alias: (_, node) => {
      throw fault(file, node, 'YAML aliases are not allowed; repeat the value')
    },
    Pair: (_, pair) => {
      if (isScalar(pair.key) && forbiddenKeys.has(String(pair.key.value)))
        throw fault(file, pair.key, `the key "${String(pair.key.value)}" is not allowed`)
      if (isScalar(pair.key) && pair.key.value === '<<') throw fault(file, pair.key, 'YAML merge keys are not allowed')
    },
    Node: (_, node) => {
      if ('tag' in node) throw fault(file, node, 'YAML tags are not allowed')
      if (isScalar(node)) checkScalar(file, node, node.value)
    },
  })
}

const metadataFields = ['name', 'labels', 'annotations'] as const

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Where a flat field stands in the form that `--full` prints. */
const wholePath = (path: readonly string[]): string[] => [
  metadataFields.some((field) => field === path[0]) ? 'metadata' : 'spec',
  ...path,
]

/** A whole object, as `--full` prints it, without what only the daemon knows. */
const flatten = (object: Record<string, unknown>): Record<string, unknown> => {
  const metadata = isRecord(object['metadata']) ? object['metadata'] : {}
  const spec = isRecord(object['spec']) ? object['spec'] : {}
  const own = metadataFields.filter((field) => metadata[field] !== undefined)
  return { ...Object.fromEntries(own.map((field) => [field, metadata[field]] as const)), ...spec }
}

const nearest = (node: Node, path: readonly string[]): unknown => {
  let at: unknown = node
  for (const part of path) {
    if (!isMap(at) && !isSeq(at)) return at
    if (isMap(at)) {
      // The key's place rather than the value's: a list's value may begin on the line below.
      const pair = at.items.find(({ key }) => isScalar(key) && String(key.value) === part)
      if (!pair) return at
      if (part === path.at(-1)) return pair.key
      at = pair.value
    } else at = at.items[Number(part)] ?? at
  }
  return at
}

const toObject = (file: File, kind: Kind, node: ParsedNode): ManifestObject => {
  const value: unknown = node.toJS(file.document)
  if (!isMap(node) || !isRecord(value))
    throw fault(file, node, `an entry of "${kind.plural}" must be a map with a name, such as "- name: …"`)
  const whole = isRecord(value['metadata'])
  const entry = whole ? flatten(value) : value
  if (typeof entry['name'] !== 'string' || entry['name'] === '')
    throw fault(file, node, `this entry of "${kind.plural}" has no name; names are text, numbers need quotes`)
  return {
    kind,
    entry: entry as ManifestEntry,
    locate: (path) => position(file, nearest(node, whole ? wholePath(path) : path)),
  }
}

const kindOfKey = (file: File, key: unknown, word: string): Kind => {
  const kind = applicable.find(({ plural }) => plural === word)
  if (kind) return kind
  const known = applicable.map(({ plural }) => plural)
  const other = findKind(kinds, word)
  if (other && other.applyOrder === undefined)
    throw fault(file, key, `${other.plural} cannot be applied: the daemon makes them`)
  const near = other ? `; did you mean "${other.plural}"?` : didYouMean(word, known)
  throw fault(file, key, `unknown key "${maskSecrets(word)}"${near || `; a manifest's keys are ${known.join(', ')}`}`)
}

/** kubectl's form, one object per document, and what `--full` prints for one object. */
const isWholeObject = (map: YAMLMap): boolean => map.has('kind') && map.has('metadata')

const wholeObject = (file: File, map: YAMLMap<ParsedNode, ParsedNode | null>): ManifestObject => {
  const word = map.get('kind', true)
  const name = isScalar(word) ? String(word.value) : ''
  const kind = findKind(kinds, name)
  if (!kind)
    throw fault(
      file,
      word,
      `unknown kind "${maskSecrets(name)}"${didYouMean(
        name,
        applicable.map((one) => one.name),
      )}`,
    )
  return toObject(file, kindOfKey(file, word, kind.plural), map as unknown as ParsedNode)
}

const bundleObjects = (file: File, map: YAMLMap<ParsedNode, ParsedNode | null>): ManifestObject[] =>
  map.items.flatMap(({ key, value }) => {
    const kind = kindOfKey(file, key, isScalar(key) ? String(key.value) : '')
    if (value === null || (isScalar(value) && value.value === null)) return []
    if (!isSeq(value)) throw fault(file, value, `"${kind.plural}" must be a list, such as "- name: …"`)
    return value.items.map((item) => toObject(file, kind, item))
  })

const documentObjects = (file: File): ManifestObject[] => {
  const { document } = file
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem) {
    const { line } = file.counter.linePos(problem.pos[0])
    throw usage(
      `${file.source.name}:${String(line)}: ${maskSecrets(problem.message.split('\n')[0]?.replace(/ at line.*$/, '') ?? '')}`,
    )
  }
  checkNodes(file)
  const root = document.contents
  if (root === null || (isScalar(root) && root.value === null)) return []
  if (!isMap(root)) throw fault(file, root, 'a manifest is a map such as "servers: [ … ]"')
  return isWholeObject(root) ? [wholeObject(file, root)] : bundleObjects(file, root)
}

const sourceObjects = (source: Source): ManifestObject[] => {
  const counter = new LineCounter()
  const text = source.text.replace(/^\ufeff/, '')
  const documents = parseAllDocuments(text, {
    lineCounter: counter,
    uniqueKeys: true,
    merge: false,
    prettyErrors: false,
  })
  if (!Array.isArray(documents)) return []
  return documents.flatMap((document) => documentObjects({ source, document, counter }))
}

/** Every object of the manifests, in order. Throws usage errors that say file and line. */
export const parseManifests = (sources: readonly Source[]): ManifestObject[] => {
  const objects = sources.flatMap(sourceObjects)
  const seen = new Map<string, ManifestObject>()
  for (const object of objects) {
    const key = `${object.kind.singular}/${object.entry.name}`
    const before = seen.get(key)
    if (before)
      throw usage(
        `${object.locate(['name'])}: ${key} is here a second time; the first is at ${before.locate(['name'])}`,
      )
    seen.set(key, object)
  }
  return objects
}

/** The objects as one bundle, in the order that the daemon applies kinds, and the way back from its pointers to the files. */
export const toManifest = (
  objects: readonly ManifestObject[],
): { manifest: Manifest; find: (pointer: string) => ManifestObject | undefined; locate: Locate } => {
  const manifest: Manifest = {}
  const placed = new Map<string, ManifestObject>()
  for (const object of objects) {
    const entries = (manifest[object.kind.plural] ??= [])
    placed.set(`${object.kind.plural}/${String(entries.length)}`, object)
    entries.push(object.entry)
  }
  const parts = (pointer: string) =>
    pointer
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  const find = (pointer: string) => placed.get(parts(pointer).slice(0, 2).join('/'))
  const locate: Locate = (pointer) => {
    const path = parts(pointer).slice(2)
    return find(pointer)?.locate(path[0] === 'spec' || path[0] === 'metadata' ? path.slice(1) : path)
  }
  return { manifest, find, locate }
}
