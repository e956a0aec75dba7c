/** How a column prints the value at its path. `age` is the time since an RFC 3339 instant, `short` the first 12 characters. */
export type ColumnFormat = 'text' | 'count' | 'age' | 'list' | 'yesno' | 'short'

/** A table column as data, so that an older client can print a newer kind. */
export interface Column {
  header: string
  /** Dotted path into the API object, for example `status.readyReplicas`. `{a.b}/{c}` composes several. */
  path: string
  as?: ColumnFormat
  /** Shown with `-o wide` only. */
  wide?: true
}

export type Verb = 'get' | 'list' | 'create' | 'update' | 'delete'
export type Role = 'view' | 'create' | 'edit' | 'delete' | 'run'

/** What a client may know of a kind. Plain data: names, verbs, columns. */
export interface Kind {
  /** `Server` */
  name: string
  /** `server`: what kubectl prints before the slash, and the stream category. */
  singular: string
  /** `servers`: the path segment and the manifest key. */
  plural: string
  shortNames: readonly string[]
  /** The verbs that the API offers; any other answers 405. */
  verbs: readonly Verb[]
  roles: readonly Role[]
  /** Position in a bulk apply: lower first. Kinds that cannot be applied have none. */
  applyOrder?: number
  /** Fields of the spec that a manifest entry shows, in this order; also what `get -o yaml` prints. */
  fields: readonly string[]
  /** NAME comes first and AGE last by themselves. */
  columns: readonly Column[]
}

export const defineKind = <const K extends Kind>(kind: K): K => kind

/** Finds a kind by any of its words, in any case. */
export const findKind = <K extends Kind>(kinds: readonly K[], word: string): K | undefined => {
  const wanted = word.toLowerCase()
  return kinds.find((kind) => kindWords(kind).includes(wanted))
}

export const kindWords = (kind: Kind): string[] => [kind.plural, kind.singular, ...kind.shortNames]
