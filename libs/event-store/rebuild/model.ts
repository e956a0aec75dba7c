import type { PoolClient } from 'pg'
import type { EventCatalogue } from '../decide/catalogue'
import type { ProjectedEvent } from '../types'

/** Which tables of a model: those of a version of it, or tables for a comparison, that end with the connection. */
export type ModelPlace = number | 'scratch'

/** Folds events into tables that nobody reads yet, in bulk and in the caller's transactions. */
export interface ModelLoader {
  /** Applies events, in order. Nobody else may use the transaction before `flush` has resolved. */
  load(tx: PoolClient, events: ProjectedEvent[]): Promise<void>
  /** Writes everything that was loaded and is not in the tables yet. When it resolves the transaction may be committed. */
  flush(tx: PoolClient): Promise<void>
  /** Lets go of a transaction that is to be taken back. The loader is not used again. */
  cancel(): Promise<void>
}

/** The first place where a model is not what the log says. */
export interface Difference {
  /** What differs, in the words of the model: for example the kind, name and uid of an object. */
  subject: Record<string, string>
  /** Where the version that differs begins, where the model has versions. */
  position?: string
  /** The field that differs; absent when a whole row is missing or too much. */
  path?: string
  /** As it is stored; absent when nothing is. */
  stored?: unknown
  /** As a fold from scratch has it; absent when it has nothing. */
  expected?: unknown
}

/** A read model whose tables can be folded anew beside the ones that are read. It alone knows its tables. */
export interface RebuildableModel {
  /** Of the processor that keeps it up to date, in es.checkpoint. */
  name: string
  /** Identity of the folding code. */
  fold: string
  /** Brings events into their current shape. Without it they come as stored. */
  catalogue?: EventCatalogue
  /** What queues behind an event that is parked, as the processor has it. Default: its stream. */
  queueOf?: (event: ProjectedEvent) => string | undefined
  /** Makes empty tables, ready to be loaded; those that an earlier attempt has left go first. */
  create(tx: PoolClient, place: ModelPlace): Promise<void>
  /** A loader that goes on from what the tables hold. */
  loader(place: ModelPlace): ModelLoader
  /** What loaded tables need before they are read, a statement each. A statement may be run twice. */
  indexes(version: number): string[]
  /** Applies a batch to the tables of a version as the processor does to the active ones. */
  project(tx: PoolClient, version: number, events: ProjectedEvent[]): Promise<void>
  /** Lets readers see this version once the transaction has committed. Waits for them no longer than `lock_timeout` allows. */
  show(tx: PoolClient, version: number): Promise<void>
  drop(tx: PoolClient, version: number): Promise<void>
  /** The versions of which there are tables. */
  versions(tx: PoolClient): Promise<number[]>
  /** Keeps `drop` of a version waiting until this transaction has ended. Throws with code 42P01 when it has been dropped. */
  hold(tx: PoolClient, version: number): Promise<void>
  /** The first difference between a version and the scratch tables, in order of position; undefined when there is none. */
  compare(tx: PoolClient, version: number): Promise<Difference | undefined>
}
