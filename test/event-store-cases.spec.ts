import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from '@jest/globals'

/** Cases that need no test, and why. */
const exempt = new Map([[38, 'a streaming replica of the embedded server is put off by the rulings']])

/** A case begins a line or follows the end of another one: `12. empty-append`, `… back-off. 53. saga-throws-once`. */
const numbersIn = (list: string): number[] =>
  [...list.matchAll(/(?:^|[.:)] |\*\* )(\d{1,2})\. (?=\S)/gm)].map(([, number]) => Number(number))

/** The title of a test or of a row of its table begins with the number: `C07 two writers …`. */
const titlesIn = (spec: string): number[] => [...spec.matchAll(/['"`]C(\d\d) \S/g)].map(([, number]) => Number(number))

const specsBelow = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true }))
    .filter((path) => path.endsWith('.spec.ts') && !path.includes('node_modules'))
    .map((path) => join(folder, path))

describe('The cases of the event store', () => {
  let cases: number[]
  let proven: Set<number>

  beforeAll(async () => {
    cases = numbersIn(await readFile('test/acceptance/event-store-cases.md', 'utf8'))
    const specs = (await Promise.all(['libs', 'apps', 'test'].map(specsBelow))).flat()
    proven = new Set((await Promise.all(specs.map((path) => readFile(path, 'utf8')))).flatMap(titlesIn))
  })

  it('are read as they are listed: each once, in order', () => {
    expect(cases).toEqual([...new Set(cases)].sort((a, b) => a - b))
    expect(cases.length).toBe(70)
    expect([cases[0], cases.at(-1)]).toEqual([1, 87])
  })

  it('have a test each that carries their number, but for those that are exempt', () => {
    expect(cases.filter((number) => !proven.has(number) && !exempt.has(number))).toEqual([])
  })

  it('that are exempt are on the list and have no test', () => {
    for (const number of exempt.keys()) expect([cases.includes(number), proven.has(number)]).toEqual([true, false])
  })

  it('are the only numbers that tests carry', () => {
    expect([...proven].filter((number) => !cases.includes(number))).toEqual([])
  })
})
