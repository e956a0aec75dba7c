import { describe, expect, it } from '@jest/globals'
import { event } from '../testing/event-fixtures'
import { EventCatalogue, schemaVersionOf, toCurrent, UnknownEvent } from './catalogue'
import type { EventTypes, Json, JsonObject, RecordedEvent } from '../types'

const freeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze)
  return Object.freeze(value)
}

const parcels: EventTypes = {
  category: 'parcel',
  events: {
    // 1: { kg, to: 'street, town' }, 2: { grams, to }, 3: { grams, to: { street, town } }
    ParcelSent: [
      ({ kg, ...rest }: JsonObject) => ({ ...rest, grams: Number(kg) * 1000 }),
      ({ to, ...rest }: JsonObject) => {
        const [street, town] = (to as string).split(', ') as [string, string]
        return { ...rest, to: { street, town } }
      },
    ],
    ParcelLost: [],
  },
}
const catalogue = new EventCatalogue([parcels])

const recorded = (given: { type: string; schemaVersion: number; data?: { [key: string]: Json }; category?: string }) =>
  freeze<RecordedEvent>({
    ...event(given),
    position: 17n,
    category: given.category ?? 'parcel',
    streamId: 'parcel-1',
    version: 3,
    recordedAt: '2026-01-01T00:00:00.000000Z',
    contentHash: 'c0',
    hash: 'a1',
  })

describe('EventCatalogue', () => {
  const first = recorded({ type: 'ParcelSent', schemaVersion: 1, data: { kg: 2, to: 'High St, York' } })
  const second = recorded({ type: 'ParcelSent', schemaVersion: 2, data: { grams: 2000, to: 'High St, York' } })
  const third = recorded({
    type: 'ParcelSent',
    schemaVersion: 3,
    data: { grams: 2000, to: { street: 'High St', town: 'York' } },
  })

  it('lifts every older version through the chain to the same current shape, as often as asked', () => {
    for (const old of [first, second, first, third]) {
      const { data, schemaVersion } = catalogue.toCurrent(old)
      expect({ data, schemaVersion }).toEqual({ data: third.data, schemaVersion: 3 })
    }
  })

  it('leaves what is stored as it is, place and hashes included', () => {
    const lifted = catalogue.toCurrent(first)
    expect(first.data).toEqual({ kg: 2, to: 'High St, York' })
    expect(lifted).toEqual({ ...first, schemaVersion: 3, data: third.data })
    expect(catalogue.toCurrent(third)).toBe(third)
  })

  it.each([
    ['an unknown type', recorded({ type: 'ParcelStolen', schemaVersion: 1 }), /ParcelStolen.*know this type.*upgrade/],
    [
      'a newer schema version',
      recorded({ type: 'ParcelSent', schemaVersion: 4 }),
      /version 4.*versions 1 to 3.*upgrade/,
    ],
    ['schema version 0', recorded({ type: 'ParcelSent', schemaVersion: 0 }), /version 0.*no version of it writes such/],
    ['a type that every object has', recorded({ type: 'constructor', schemaVersion: 1 }), /constructor.*upgrade/],
  ])('refuses %s, naming stream, position, type, version and the next step', (_, unknown, message) => {
    const refusal = (() => {
      try {
        return catalogue.toCurrent(unknown)
      } catch (error) {
        return error
      }
    })()
    expect(refusal).toBeInstanceOf(UnknownEvent)
    expect(refusal).toMatchObject({ code: 'UnknownEvent', event: { streamId: 'parcel-1', position: 17n } })
    const text = (refusal as UnknownEvent).message
    expect(text).toMatch(message)
    expect(text).toMatch(/"parcel-1".*position 17/)
  })

  it('passes on what belongs to a category that nobody declares', () => {
    const foreign = recorded({ type: 'ShipSank', schemaVersion: 9, category: 'ship' })
    expect(catalogue.toCurrent(foreign)).toBe(foreign)
  })

  it('knows the version to write, and that there is none for a type that is not declared', () => {
    expect(schemaVersionOf(parcels, 'ParcelSent')).toBe(3)
    expect(schemaVersionOf(parcels, 'ParcelLost')).toBe(1)
    expect(() => schemaVersionOf(parcels, 'toString')).toThrow(/declares no event/)
    expect(catalogue.types()).toEqual([
      { category: 'parcel', type: 'ParcelSent', schemaVersion: 3 },
      { category: 'parcel', type: 'ParcelLost', schemaVersion: 1 },
    ])
  })

  it('may get the types of a category in several parts, and each type once', () => {
    const more = { category: 'parcel', events: { ParcelFound: [] } }
    expect(new EventCatalogue([parcels, more]).types()).toHaveLength(3)
    const twice = { category: 'letter', events: { ParcelLost: [] } }
    expect(() => new EventCatalogue([parcels, twice])).toThrow(/ParcelLost is declared by "parcel" and by "letter"/)
  })

  it.each<[string, unknown[]]>([
    ['is missing', [(data: JsonObject) => data, , (data: JsonObject) => data]],
    ['is undefined', [(data: JsonObject) => data, undefined]],
    ['is no function', [(data: JsonObject) => data, 'kg to grams', (data: JsonObject) => data]],
  ])('refuses a chain of which a link %s, rather than step over it', (_, chain) => {
    const gapped = { category: 'parcel', events: { ParcelSent: chain } } as unknown as EventTypes
    expect(() => new EventCatalogue([gapped])).toThrow('ParcelSent of "parcel" has no upcast from schema version 2')
    expect(() => toCurrent(gapped, first)).toThrow(TypeError)
  })

  it('lets the throw of an upcast through', () => {
    const broken: EventTypes = {
      category: 'parcel',
      events: {
        ParcelSent: [
          () => {
            throw new TypeError('no kg')
          },
        ],
      },
    }
    expect(() => toCurrent(broken, first)).toThrow('no kg')
  })
})
