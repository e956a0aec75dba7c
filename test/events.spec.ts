import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import type { ClaimChange, JsonObject, RecordedEvent } from '@mcpctl/event-store'
import { resources } from '@mcpctl/kinds/modules'
import type { ViewObject } from '@mcpctl/read-model'
import { catalogue } from '../apps/mcpd/src/store/catalogue'

/**
 * One event as some version of mcpd has stored it, and what it means: the decider's state and the object that is shown. A log is kept for ever, so these
 * files are never edited; a new shape gets a new version beside the old one.
 */
interface Golden {
  category: string
  type: string
  schemaVersion: number
  data: JsonObject
  claims?: ClaimChange[]
  /** Golden events of the same stream that came before. */
  after: string[]
  state: unknown
  object: unknown
}

const kinds = new Map(resources.map(({ decider, view }) => [decider.category, { decider, view }]))

const directory = join(import.meta.dirname, 'events')
const files = readdirSync(directory).sort()
const read = (file: string) => JSON.parse(readFileSync(join(directory, file), 'utf8')) as Golden
const goldens = files.map((file) => [file, read(file)] as const)

const current = ({ category, type, schemaVersion, data }: Golden) =>
  catalogue.toCurrent({ category, type, schemaVersion, data } as RecordedEvent)

const fold = ({ category, after, ...last }: Golden) => {
  const kind = kinds.get(category)
  const view = kind?.view as ((object: ViewObject | undefined, event: object) => ViewObject | undefined) | undefined
  let state = kind?.decider.initial
  let object: ViewObject | undefined
  for (const golden of [...after.map((type) => read(`${type}.v1.json`)), { category, after, ...last }]) {
    const event = current(golden)
    state = kind?.decider.evolve(state, event)
    object = view?.(object, { type: event.type, data: event.data, position: 1n, at: '2026-01-01T00:00:00.000000Z' })
  }
  return { state: asStored(state), object: asStored(object) }
}

const asStored = (value: unknown): unknown => (value === undefined ? null : JSON.parse(JSON.stringify(value)))

const versions = catalogue
  .types()
  .flatMap(({ category, type, schemaVersion }) =>
    Array.from({ length: schemaVersion }, (_, i) => ({ category, file: `${type}.v${String(i + 1)}.json` })),
  )

describe('the golden events', () => {
  it('are there for every schema version of every type that the catalogue declares, and for no other', () => {
    const found = goldens.map(([file, { category }]) => ({ category, file }))
    const byFile = (a: { file: string }, b: { file: string }) => a.file.localeCompare(b.file)
    expect(found.sort(byFile)).toEqual(versions.sort(byFile))
  })

  it.each(goldens)('%s is lifted to the current schema version', (_, golden) => {
    const newest = catalogue.types().find(({ type }) => type === golden.type)?.schemaVersion
    expect(current(golden).schemaVersion).toBe(newest)
  })

  it.each(goldens)('%s is named after what it holds', (file, { type, schemaVersion }) => {
    expect(file).toBe(`${type}.v${String(schemaVersion)}.json`)
  })

  it.each(goldens)('%s still means the same', (_, golden) => {
    expect(fold(golden)).toEqual({ state: golden.state, object: golden.object })
  })
})
