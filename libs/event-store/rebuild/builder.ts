import { setTimeout as delay } from 'node:timers/promises'
import { withClient } from '@mcpctl/postgres/transaction'
import type { Pool, PoolClient } from 'pg'
import { isTransient } from '../database-errors'
import { applyAndPark, parkBehind, sortOut, textOf, type Poison } from '../follow/parking'
import type { ProjectedEvent } from '../types'
import { advance, findBuild, lockBuild, recordAttempt, type Build, type Phase } from './build-row'
import type { ModelLoader, RebuildableModel } from './model'
import { pageAfter, pagesAfter } from './pages'
import { ParkedEvents } from './parked-events'
import { maxAttempts } from './request'
import { distance, nearlyThere, swap } from './swap'

const msPerCommit = 5_000
const firstPatienceMs = 200
/** Above `deadlock_timeout`, so that a vacuum of the old tables gives way. */
const longestPatienceMs = 1_500

export interface BuilderOptions {
  /** Its connections act as `mcpd_app`; two are used. */
  pool: Pool
  model: RebuildableModel
  /** Events per transaction while the tables are loaded, default 50,000; a crash costs the time of one. */
  eventsPerCommit?: number
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
  private patienceMs = firstPatienceMs
  /** The next events are applied one by one, because one of them could not be loaded. */
  private isCareful = false
  private swappedTo: number | undefined

  constructor(private readonly options: BuilderOptions) {}

  /**
   * One step in one transaction. False when there is nothing to do: nobody asked, or the build has failed too often. Throws what went
   * wrong, after it was written down; the step may be tried again, a moment later.
   */
  async step(): Promise<boolean> {
    const { pool, model, onDone } = this.options
    const build = await findBuild(pool, model.name)
    // What has failed by other code may succeed by this one.
    if (!build || (build.attempts >= maxAttempts && build.fold === model.fold)) return false
    try {
      const more = await withClient(pool, (tx) => this.work(tx, build))
      if (this.swappedTo !== undefined) onDone?.(this.swappedTo)
      this.swappedTo = undefined
      return more
    } catch (error) {
      await this.failed(error)
      throw error
    }
  }

  private work(tx: PoolClient, build: Build): Promise<boolean> {
    if (build.fold !== this.options.model.fold) return this.startOver(tx)
    switch (build.phase) {
      case 'building':
        return this.isCareful ? this.project(tx, 'building') : this.load(tx)
      case 'indexing':
        return this.index(tx, build)
      case 'swapping':
        return this.finish(tx, build)
    }
  }

  private async failed(error: unknown): Promise<void> {
    this.loader = undefined
    const { pool, model } = this.options
    this.isCareful = !isTransient(error)
    await recordAttempt(pool, model.name, { error: textOf(error), counts: !isTransient(error) }).catch(() => undefined)
  }

  /** Two codes on the same tables would make a mixture. */
  private async startOver(tx: PoolClient): Promise<true> {
    const { model } = this.options
    const build = await lockBuild(tx, model.name)
    if (build && build.fold !== model.fold) {
      await model.create(tx, build.modelVersion)
      await tx.query(`delete from es.parked where processor = $1 and model_version = $2 and status = 'parked'`, [
        model.name,
        build.modelVersion,
      ])
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
    const eventsPerSecond = count > 0 ? Math.round(count / seconds) : undefined
    await advance(tx, model.name, { position, phase: atEnd ? 'indexing' : 'building', eventsPerSecond })
    await tx.query('commit')
    this.loader = { modelVersion: build.modelVersion, position, load: loader }
    return true
  }

  /** As many events as one transaction takes. */
  private async loadPages(tx: PoolClient, build: Build, loader: ModelLoader) {
    const { pool, model, eventsPerCommit = 50_000 } = this.options
    const at = { processor: model.name, modelVersion: build.modelVersion }
    const deadline = performance.now() + msPerCommit
    const parked = await ParkedEvents.of(tx, at)
    const behind: ProjectedEvent[] = []
    let count = 0
    let last: bigint | undefined
    let atEnd = true
    for await (const page of pagesAfter(pool, build.position)) {
      const { ready, waiting } = parked.sortOut(page)
      behind.push(...waiting)
      await loader.load(tx, this.current(ready))
      count += page.length
      last = page.at(-1)?.position
      atEnd = count < eventsPerCommit && performance.now() < deadline
      if (!atEnd) break
    }
    await loader.flush(tx)
    await parkBehind(tx, at, behind)
    return { count, last, atEnd }
  }

  private current(events: ProjectedEvent[]): ProjectedEvent[] {
    const { catalogue } = this.options.model
    return catalogue ? events.map((event) => catalogue.toCurrent(event)) : events
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
    this.isCareful = false
    for (const poison of poisons) onParked?.(poison)
    return true
  }

  private async apply(tx: PoolClient, modelVersion: number, events: ProjectedEvent[]): Promise<Poison[]> {
    if (events.length === 0) return []
    const { model } = this.options
    const at = { processor: model.name, modelVersion }
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
      patienceMs: this.patienceMs,
      catchUp: async (within, { after, upTo }) => {
        for await (const page of pagesAfter(pool, after, upTo))
          poisons.push(...(await this.apply(within, modelVersion, page)))
      },
    }).catch((error: unknown) => this.letReadersPass(tx, error))
    if (!isDone) return true
    for (const poison of poisons) onParked?.(poison)
    this.patienceMs = firstPatienceMs
    this.swappedTo = modelVersion
    return true
  }

  /** Readers that do not let go are waited for, a little longer each time; those that queue behind us must not wait for long. */
  private async letReadersPass(tx: PoolClient, error: unknown): Promise<false> {
    if (!isLockTimeout(error)) throw error
    await tx.query('rollback')
    await delay(this.patienceMs)
    this.patienceMs = Math.min(this.patienceMs * 2, longestPatienceMs)
    return false
  }
}

const isLockTimeout = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === '55P03'

/** Somebody else has moved on; what is to be done next is looked up. */
const leave = async (tx: PoolClient): Promise<true> => {
  await tx.query('rollback')
  return true
}
