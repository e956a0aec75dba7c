import type { NewEvent } from '@mcpctl/event-store'
import type { Payload } from '../payload'

/** What each writer does over and over. */
export interface Shape {
  writers: number
  /** Events per append. */
  events: number
  /** Each append begins a stream; else all of them go to one. */
  fresh: boolean
}

/** One append of one writer. */
export interface Append {
  /** Number of the writer, from 0. */
  writer: number
  /** Uid of the stream's object. */
  uid: string
  /** Nobody has written to the stream yet, and the store is to check that. */
  fresh: boolean
  events: Payload[]
}

/** A store that is open, with as many connections as it may want. */
export interface OpenStore {
  /** Resolves when the events are durable. Conflicts are tried again, as an application would. */
  append(append: Append): Promise<void>
  /** Events that the database holds. */
  count(): Promise<number>
  /** Reads a stream from its beginning, at most 1,000 events, and answers with how many came. */
  readStream(uid: string): Promise<number>
  close(): Promise<void>
}

export interface Yardstick {
  name: string
  /** Makes the schema in an empty database, which then serves as a template. */
  prepare(url: string): Promise<void>
  /** Opens a copy of the template for so many writers at once. */
  open(url: string, writers: number): Promise<OpenStore>
}

/** A seeded store and a projection over all of it: a row per stream with the number of its events. */
export interface CatchUp {
  /** Makes a table of this name and all connections; what it answers projects everything, from the first event to the last. */
  prepare(table: string): Promise<() => Promise<void>>
  /** What the table holds. */
  counted(table: string): Promise<{ streams: number; events: number }>
  close(): Promise<void>
}

/** Events of one stream, to be stored in this order. */
export interface SeedStream {
  streamId: string
  events: NewEvent[]
}
