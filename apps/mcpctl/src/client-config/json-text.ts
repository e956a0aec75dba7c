import { isMap, isScalar, isSeq, parseDocument } from 'yaml'
import type { Node, Pair, YAMLMap } from 'yaml'
import { usage } from '../errors'

/** The text of a JSON file, changed in single places: whatever else stands in it stays as it is, to the byte. */
export class JsonText {
  private constructor(
    readonly text: string,
    private readonly name: string,
  ) {}

  /** `name` is how messages name it. An empty file is an empty object. */
  static of(text: string, name: string): JsonText {
    return new JsonText(text.trim() === '' ? '{}\n' : text, name)
  }

  /** The value at the path, or undefined. */
  at(...path: string[]): unknown {
    return path.reduce<unknown>(
      (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
      this.value,
    )
  }

  /** Sets one member of the object at the top. Throws when that is no object. */
  withMember(container: string, key: string, value: unknown): JsonText {
    const inner = this.pair(this.root, container)
    if (!inner) return this.inserted(this.root, container, { [key]: value })
    if (!isMap<Node, Node>(inner.value)) throw this.refusal(`"${container}" is no object`)
    const member = this.pair(inner.value, key)
    if (!member) return this.inserted(inner.value, key, value)
    const [start, end] = rangeOf(member.value)
    return this.spliced(start, end, this.format(value, this.indentAt(rangeOf(member.key)[0])))
  }

  without(container: string, key: string): JsonText {
    const inner = this.pair(this.root, container)?.value
    if (!isMap<Node, Node>(inner)) return this
    const index = inner.items.findIndex((pair) => keyOf(pair) === key)
    const member = inner.items[index]
    if (!member) return this
    return this.cut(inner, inner.items.map(spanOf), index)
  }

  /** Adds an element to the list at the top, which is made when it is not there. */
  withElement(container: string, value: unknown): JsonText {
    const inner = this.pair(this.root, container)
    if (!inner) return this.inserted(this.root, container, [value])
    const list = inner.value
    if (!isSeq<Node>(list)) throw this.refusal(`"${container}" is no list`)
    const last = list.items.at(-1)
    const outer = this.indentAt(rangeOf(inner.key)[0])
    if (!last) {
      const [start, end] = rangeOf(list)
      return this.spliced(start, end, this.format([value], outer))
    }
    const [start, end] = rangeOf(last)
    return this.spliced(end, end, `,${this.gapBefore(start)}${this.format(value, this.indentAt(start))}`)
  }

  withoutElement(container: string, index: number): JsonText {
    const list = this.pair(this.root, container)?.value
    if (!isSeq<Node>(list) || !list.items[index]) return this
    return this.cut(list, list.items.map(rangeOf), index)
  }

  private get value(): unknown {
    try {
      return JSON.parse(this.text) as unknown
    } catch {
      const hasMark = this.text.startsWith('\ufeff')
      throw this.refusal(
        hasMark
          ? 'begins with a byte order mark, which JSON has none of'
          : 'is no plain JSON (comments are none either)',
      )
    }
  }

  private refusal(why: string): Error {
    return usage(`${this.name}: ${why}; nothing was changed`, 'Leave --write out, and put in by hand what is printed.')
  }

  private get root(): YAMLMap<Node, Node> {
    // YAML takes all JSON, and knows where each part of it stands.
    const isJson = this.value !== undefined
    const { contents, errors } = parseDocument(this.text)
    if (isJson && isMap<Node, Node>(contents) && errors.length === 0) return contents
    throw this.refusal(errors[0]?.code === 'DUPLICATE_KEY' ? 'names a key twice' : 'is no object')
  }

  private pair(map: YAMLMap<Node, Node>, key: string): Pair<Node, Node> | undefined {
    return map.items.find((pair) => keyOf(pair) === key)
  }

  private inserted(map: YAMLMap<Node, Node>, key: string, value: unknown): JsonText {
    const [start, end] = rangeOf(map)
    const last = map.items.at(-1)
    if (!last) return this.spliced(start, end, this.format({ [key]: value }, this.indentAt(start)))
    const [first] = rangeOf(last.key)
    const [, after] = rangeOf(last.value)
    const text = `${JSON.stringify(key)}: ${this.format(value, this.indentAt(first))}`
    return this.spliced(after, after, `,${this.gapBefore(first)}${text}`)
  }

  /** Takes one of several out, with the comma that parts it from the others. */
  private cut(parent: Node, spans: [number, number][], index: number): JsonText {
    const [start, end] = spans[index] ?? [0, 0]
    const before = spans[index - 1]
    const after = spans[index + 1]
    if (before) return this.spliced(before[1], end, '')
    if (after) return this.spliced(start, after[0], '')
    const [open, close] = rangeOf(parent)
    return this.spliced(open, close, this.text.slice(open, open + 1) === '[' ? '[]' : '{}')
  }

  private spliced(start: number, end: number, text: string): JsonText {
    return new JsonText(this.text.slice(0, start) + text + this.text.slice(end), this.name)
  }

  private get lineEnd(): string {
    return this.text.includes('\r\n') ? '\r\n' : '\n'
  }

  /** What one level is indented by: as the file does it. */
  private get step(): string {
    return /\n([ \t]+)"/.exec(this.text)?.[1] ?? '  '
  }

  private indentAt(offset: number): string {
    const line = this.text.slice(this.text.lastIndexOf('\n', offset - 1) + 1, offset)
    return /^[ \t]*/.exec(line)?.[0] ?? ''
  }

  /** What parts it from what stands before it: a new line where it begins one. */
  private gapBefore(offset: number): string {
    const line = this.text.slice(this.text.lastIndexOf('\n', offset - 1) + 1, offset)
    return line.trim() === '' && offset > 0 && this.text.includes('\n') ? `${this.lineEnd}${line}` : ' '
  }

  private format(value: unknown, indent: string): string {
    return JSON.stringify(value, undefined, this.step).replaceAll('\n', `${this.lineEnd}${indent}`)
  }
}

const keyOf = ({ key }: Pair<Node, Node>): unknown => (isScalar(key) ? key.value : undefined)

const rangeOf = (node: Node | null | undefined): [number, number] => {
  const [start = 0, end = 0] = node?.range ?? []
  return [start, end]
}

const spanOf = ({ key, value }: Pair<Node, Node>): [number, number] => [rangeOf(key)[0], rangeOf(value)[1]]
