import 'reflect-metadata'
import { describe, expect, it } from '@jest/globals'
import { inspect } from 'node:util'
import { DomainError } from '@mcpctl/contracts'
import { isObject, parseDesired, type CommandContext, type Resource } from '@mcpctl/resource'
import { getMetadataStorage } from 'class-validator'
import { Canary, Search } from './support/canary'
import { resources } from '@mcpctl/kinds/modules'

const canary = Canary.make()
const plain = Canary.plain()
const search = new Search({ canary, plain })
const writable = resources.filter(({ schema }) => schema !== undefined)

/** Everything that a log, a crash report or an answer might make of it. */
const printed = (thing: unknown): string => {
  const { message = '', stack = '' } = thing instanceof Error ? thing : {}
  const details = thing instanceof DomainError ? JSON.stringify(thing.details) : ''
  return [
    String(thing),
    message,
    stack,
    details,
    JSON.stringify(thing),
    inspect(thing, { depth: 20, showHidden: true }),
  ].join('\n')
}

const fieldsOf = ({ schema }: Resource): string[] => {
  const rules = getMetadataStorage().getTargetValidationMetadatas(schema as never, '', false, false)
  return [...new Set(rules.map(({ propertyName }) => propertyName)), 'data', 'stringData', 'unknown']
}

/** Shapes in which somebody may send a value that is meant for another field. */
const shapes: [string, (value: string) => unknown][] = [
  ['alone', (value) => value],
  ['in a list', (value) => [value]],
  ['in a map', (value) => ({ key: value })],
  ['as a key', (value) => ({ [value]: 'x' })],
  ['in a list of maps', (value) => [{ name: value, value, [value]: value }]],
  ['deep down', (value) => ({ a: [{ b: { c: [value] } }] })],
  ['with NUL', (value) => ({ key: `${value}\0` })],
]

const refused = (resource: Resource, body: object): unknown => {
  try {
    return parseDesired(resource, { name: 'x', ...body })
  } catch (error) {
    return error
  }
}

describe.each(writable.map((resource): [string, Resource] => [resource.kind.plural, resource]))(
  'what is refused of %s',
  (_, resource) => {
    it.each(shapes)('shows nothing of a random value that was sent %s', (_, shape) => {
      for (const field of fieldsOf(resource)) {
        const error = refused(resource, { [field]: shape(plain.value) })
        if (error instanceof Error) expect([field, search.in(printed(error), field)]).toEqual([field, []])
      }
    })

    it('says of each wrong field which it is', () => {
      const error = refused(resource, { unknown: plain.value, labels: [plain.value] })
      expect(error).toBeInstanceOf(DomainError)
      expect((error as DomainError).details.errors?.map(({ pointer }) => pointer)).toEqual(
        expect.arrayContaining(['/unknown', '/labels']),
      )
    })
  },
)

describe('a request to write a secret', () => {
  const resource = resources.find(({ kind }) => kind.plural === 'secrets')!
  const data = {
    text: canary.value,
    object: { value: canary.value },
    bytes: { value: btoa(plain.value), binary: true },
  }
  const desired = { ...parseDesired(resource, { name: 'x', data }), mode: 'create' as const }
  const request = new resource.apply!('uid', desired, {} as CommandContext)

  it('shows nothing of its values, however it is printed', () => {
    expect(search.in(printed(request), 'the request')).toEqual([])
    expect(search.in(printed(desired), 'what is wanted')).toEqual([])
    expect(isObject(JSON.parse(JSON.stringify(request)))).toBe(true)
  })

  it('shows nothing of them in an error that carries it', () => {
    const error = new Error('a bug', { cause: Object.assign(new Error('within'), { request }) })
    expect(search.in(printed(Object.assign(error, { request, desired })), 'the error')).toEqual([])
  })

  it('would be found to show them', () => {
    expect(search.in(printed({ data }), 'a body')).not.toEqual([])
    expect(search.in(printed({ bytes: Buffer.from(plain.value) }), 'bytes')).not.toEqual([])
  })
})
