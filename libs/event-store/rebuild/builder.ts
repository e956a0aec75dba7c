import { setTimeout as delay } from 'node:timers/promises'
import { withClient } from '@mcpctl/postgres/transaction'
import type { Pool, PoolClient } from 'pg'
import { answered, asDomainError, isTransient } from '../database-errors'
import { applyAndPark, parkBehind, sortOut, type Poison } from '../follow/parking'
import type { ProjectedEvent } from '../types'
import { buildFailed, forgetParked, giveUp, reasonOf } from './build-failure'
import { advance, findBuild, lockBuild, recordAttempt, type Build, type Phase } from './build-row'
import { currentEvents, parkedIn } from './folding'
import { endFrozen } from './frozen'
import { dropLeftovers } from './leftovers'
import type { ModelLoader, RebuildableModel } from './model'
import { pageAfter, pagesAfter } from './pages'
import { ParkedEvents } from './parked-events'
import { maxAttempts } from './request'
import { distance, nearlyThere, swap } from './swap'

const msPerCommit = 5_000
/** Events that wait to be parked, beside those of a page. */
const mostBehind = 100
const firstPauseMs = 100
const longestPauseMs = 2_000

export interface BuilderOptions {
  /** Its connections act as `mcpd_app`; two are used. */
  pool: Pool
  model: RebuildableModel
  /** Events per transaction while the tables are loaded, default 100,000; a crash costs the time of one. */
  eventsPerCommit?: number
  /**
   * How long a process that folds a model may neither send nor take rows that the database waits for: then its connection is ended, from
   * here. Default 2 minutes, since it may be busy.
   */
  frozenAfterMs?: number
  /** Told after an event was set aside in the version that is built, for a log. */
  onParked?: (poison: Poison) => void
  /** Told when readers see the new version. */
  onDone?: (version: number) => void
}

/**
 * Fills the version that `requestRebuild` has asked for, from where it stands, until readers see it. What is reached is committed step
 * by step with the position, so that after a crash any other builder goes on from there. Several may work at the same time: the build's
 * row lets one of them act, and what another has done is found in the tables.
 */
export class Builder {
  private loader: { modelVersion: number; position: bigint; load: ModelLoader } | undefined
  private pauseMs = firstPauseMs
  /** How far it was loaded, in a transaction that may have been taken back. */
  private reached = 0n
  /** Up to here events are applied as the processor does it, because one of them could not be loaded. */
  private carefulTo = 0n
  /** There may be tables of a version that was replaced. */
  private hasLeftovers = true
  private swappedTo: number | undefined
  private lookedForFrozen = -Infinity

  constructor(private readonly options: BuilderOptions) {}

  /**
   * One step in one transaction. False when there is nothing to do: nobody asked, or the build has failed too often. Throws what went
   * wrong, after it was written down; the step may be tried again, a moment later.
   */
  async step(): Promise<boolean> {
    const { pool, model, onDone } = this.options
    await this.endFrozen()
    const build = await answered(`the look at the rebuild of model "${model.name}"`, findBuild(pool, model.name))
    // What has failed by other code may succeed by this one.
    if (!build || (build.attempts >= maxAttempts && build.fold === model.fold)) return this.tidy()
    try {
      const more = await withClient(pool, (tx) => this.work(tx, build))
      if (this.swappedTo !== undefined) onDone?.(this.swappedTo)
      this.swappedTo = undefined
      return more
    } catch (error) {
      throw await this.failed(error, build)
    }
  }

  private async endFrozen(): Promise<void> {
    const { pool, frozenAfterMs = 120_000 } = this.options
    if (performance.now() - this.lookedForFrozen < frozenAfterMs / 4) return
    this.lookedForFrozen = performance.now()
    await answered('the look for frozen processes', endFrozen(pool, frozenAfterMs))
  }

  private work(tx: PoolClient, build: Build): Promise<boolean> {
    if (build.fold !== this.options.model.fold) return this.startOver(tx)
    switch (build.phase) {
      case 'building':
        return build.position < this.carefulTo ? this.project(tx, 'building') : this.load(tx)
      case 'indexing':
        return this.index(tx, build)
      case 'swapping':
        return this.finish(tx, build)
    }
  }

  /** Writes down what went wrong; answers it in the words of the contract. */
  private async failed(error: unknown, build: Build): Promise<unknown> {
    this.loader = undefined
    const { pool, model } = this.options
    // Somebody else is at work at it, and what he writes down is what counts.
    if (isLockTimeout(error)) return asDomainError(error, `the rebuild of model "${model.name}"`)
    const counts = !isTransient(error)
    if (counts) this.carefulTo = this.reached
    const text = reasonOf(error)
    // The same rows make the same index: trying again would change nothing.
    const isFinal = counts && build.phase === 'indexing'
    const written = isFinal ? giveUp(pool, model, text) : recordAttempt(pool, model.name, { error: text, counts })
    await written.catch(() => undefined)
    return buildFailed(error, { model: model.name, isFinal })
  }

  /** Nothing is left to be built. */
  private async tidy(): Promise<false> {
    const { pool, model } = this.options
    if (!this.hasLeftovers) return false
    try {
      await withClient(pool, (tx) => dropLeftovers(tx, model))
      this.hasLeftovers = false
    } catch (error) {
      if (!isTransient(error)) throw error
    }
    return false
  }

  /** Two codes on the same tables would make a mixture. */
  private async startOver(tx: PoolClient): Promise<true> {
    const { model } = this.options
    const build = await lockBuild(tx, model.name)
    if (build && build.fold !== model.fold) {
      await model.create(tx, build.modelVersion)
      await forgetParked(tx, model.name, build.modelVersion)
      await tx.query(`update es.checkpoint set fold = $2 where processor = $1 and not active`, [model.name, model.fold])
      await advance(tx, model.name, { position: 0n, phase: 'building' })
    }
    await tx.query('commit')
    return true
  }

  private loaderFor({ modelVersion, position }: Build): ModelLoader {
    const { loader } = this
    // Somebody else has worked at it: what is in memory here is outdated.
    if (loader?.modelVersion === modelVersion && loader.position === position) return loader.load
    const load = this.options.model.loader(modelVersion)
    this.loader = { modelVersion, position, load }
    return load
  }

  private async load(tx: PoolClient): Promise<true> {
    const { model } = this.options
    const build = await lockBuild(tx, model.name)
    if (build?.phase !== 'building') return leave(tx)
    const loader = this.loaderFor(build)
    const began = performance.now()
    const { count, last, atEnd } = await this.loadPages(tx, build, loader).catch(async (error: unknown) => {
      await loader.cancel()
      throw error
    })
    const position = last ?? build.position
    const seconds = Math.max(performance.now() - began, 1) / 1000
    const phase = atEnd ? 'indexing' : 'building'
    await advance(tx, model.name, { position, phase, ...(count > 0 && { seconds }) })
    await tx.query('commit')
    this.loader = { modelVersion: build.modelVersion, position, load: loader }
    return true
  }

  /** As many events as one transaction takes. */
  private async loadPages(tx: PoolClient, build: Build, loader: ModelLoader) {
    const { pool, eventsPerCommit = 100_000 } = this.options
    const at = parkedIn(this.options.model, build.modelVersion)
    const deadline = performance.now() + msPerCommit
    const parked = await ParkedEvents.of(tx, at)
    const behind: ProjectedEvent[] = []
    let count = 0
    let last: bigint | undefined
    let atEnd = true
    for await (const page of pagesAfter(pool, build.position)) {
      last = page.at(-1)?.position
      this.reached = last ?? this.reached
      const { ready, waiting } = parked.sortOut(page)
      behind.push(...waiting)
      await loader.load(tx, currentEvents(this.options.model, ready))
      if (behind.length > mostBehind) {
        await loader.flush(tx)
        await parkBehind(tx, at, behind.splice(0))
      }
      count += page.length
      atEnd = count < eventsPerCommit && performance.now() < deadline
      if (!atEnd) break
    }
    await loader.flush(tx)
    await parkBehind(tx, at, behind)
    return { count, last, atEnd }
  }

  /** One page as the processor would apply it; what cannot be folded is parked. */
  private async project(tx: PoolClient, phase: Phase): Promise<true> {
    const { pool, model, onParked } = this.options
    const build = await lockBuild(tx, model.name)
    if (build?.phase !== phase) return leave(tx)
    const page = await pageAfter(pool, build.position)
    const poisons = await this.apply(tx, build.modelVersion, page)
    await advance(tx, model.name, { position: page.at(-1)?.position ?? build.position, phase })
    await tx.query('commit')
    for (const poison of poisons) onParked?.(poison)
    return true
  }

  private async apply(tx: PoolClient, modelVersion: number, events: ProjectedEvent[]): Promise<Poison[]> {
    if (events.length === 0) return []
    const { model } = this.options
    const at = parkedIn(model, modelVersion)
    const { ready, waiting } = await sortOut(tx, at, events)
    const projection = {
      ...model,
      project: (within: PoolClient, some: ProjectedEvent[]) => model.project(within, modelVersion, some),
    }
    const poisons = await applyAndPark(projection, tx, { model: at, events: ready })
    await parkBehind(tx, at, waiting)
    return poisons
  }

  private async index(tx: PoolClient, { modelVersion }: Build): Promise<true> {
    const { model } = this.options
    for (const statement of model.indexes(modelVersion)) {
      const build = await lockBuild(tx, model.name)
      if (build?.phase !== 'indexing' || build.modelVersion !== modelVersion) return leave(tx)
      // The server works alone here, for as long as it takes.
      await tx.query(`set local statement_timeout = 0; set local maintenance_work_mem = '128MB'`)
      await tx.query(statement)
      await tx.query('commit')
    }
    const build = await lockBuild(tx, model.name)
    if (build?.phase === 'indexing') await advance(tx, model.name, { position: build.position, phase: 'swapping' })
    await tx.query('commit')
    return true
  }

  private async finish(tx: PoolClient, { modelVersion }: Build): Promise<true> {
    const { pool, model, onParked } = this.options
    if ((await distance(pool, model.name)) > nearlyThere) return this.project(tx, 'swapping')
    const poisons: Poison[] = []
    const isDone = await swap(tx, {
      model,
      catchUp: async (within, { after, upTo }) => {
        for await (const page of pagesAfter(pool, after, upTo))
          poisons.push(...(await this.apply(within, modelVersion, page)))
      },
    }).catch((error: unknown) => this.letReadersPass(tx, error))
    if (!isDone) return true
    for (const poison of poisons) onParked?.(poison)
    this.pauseMs = firstPauseMs
    this.hasLeftovers = true
    this.swappedTo = modelVersion
    return true
  }

  /** Readers that do not let go are waited for from afar: those that would queue behind us are let pass, for longer each time. */
  private async letReadersPass(tx: PoolClient, error: unknown): Promise<false> {
    if (!isLockTimeout(error)) throw error
    await tx.query('rollback')
    await delay(this.pauseMs)
    this.pauseMs = Math.min(this.pauseMs * 2, longestPauseMs)
    return false
  }
}

const isLockTimeout = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === '55P03'

/** Somebody else has moved on; what is to be done next is looked up. */
const leave = async (tx: PoolClient): Promise<true> => {
  await tx.query('rollback')
  return true
}
