import { Injectable, Optional } from '@nestjs/common'
import type { ResourceObject } from '@mcpctl/contracts'
import { Connections } from '@mcpctl/gateway'
import { Objects } from '@mcpctl/read-model'
import { RolloutPace, type Happened, type Reconciler, type Term } from '@mcpctl/reconcile'
import { SecretReader, type SecretHead } from '@mcpctl/resource'
import { Drivers, type Driver, type InstanceTemplate, type Unit, type UnitList } from '@mcpctl/runtime'
import { v7 as uuidv7 } from 'uuid'
import { InstanceInputsReader } from './instance-inputs.reconciler'
import { InstanceRuns, type SealedOrder } from './instance-runs.reconciler'
import { secretNames } from './env-resolver.plan'
import { settle } from './secret-rotation.plan'
import { observe } from './server-status.plan'
import { nextDue, plan, type Action, type Situation } from './server.plan'
import { ServerSaga } from './server.saga'
import {
  hashOf,
  plannedInstance,
  plannedServer,
  templateOfServer,
  type InstanceRow,
} from './server-situation.reconciler'

/** Instances come and go; what is forgotten is looked up again. */
const MAX_KNOWN = 10_000

interface Seen {
  term: Term
  server: ResourceObject
  instances: InstanceRow[]
  situation: Situation
}

/** Makes the instances of one server match what is wanted: observe → plan → act → report. Reads everything each time. */
@Injectable()
export class ServerReconciler implements Reconciler {
  private readonly runs: InstanceRuns
  /** Server by instance, for hints that name only the instance. */
  private readonly servers = new Map<string, string>()
  private wake: (serverUid: string, error?: unknown) => void = () => undefined

  constructor(
    private readonly objects: Objects,
    private readonly drivers: Drivers,
    private readonly connections: Connections,
    private readonly saga: ServerSaga,
    private readonly pace: RolloutPace,
    @Optional() private readonly secrets?: SecretReader,
  ) {
    const done = (serverUid: string, error?: unknown) => {
      this.wake(serverUid, error)
    }
    this.runs = new InstanceRuns({ drivers, connections, saga, done, inputs: new InstanceInputsReader(secrets) })
    const hint = (instanceUid: string) => void this.hint(instanceUid)
    drivers.onChange(hint)
    connections.onChange(hint)
  }

  onWake(wake: (serverUid: string, error?: unknown) => void): void {
    this.wake = wake
  }

  idle(): Promise<void> {
    return this.runs.idle()
  }

  async reconcile(serverUid: string, term: Term): Promise<number | undefined> {
    const server = await this.objects.findByUid(serverUid)
    if (!server) return undefined
    const seen = await this.look(server, term)
    for (const action of plan(seen.situation)) {
      if (term.signal.aborted) return undefined
      await this.act(action, seen)
    }
    // Reported from what the views show after acting, so that a status never runs ahead of the log.
    const after = await this.look((await this.objects.findByUid(serverUid)) ?? server, term)
    await this.saga.report(term, serverUid, observe(after.situation))
    return nextDue(after.situation)
  }

  keys(): Promise<string[]> {
    return this.objects.uids('Server')
  }

  async keysOf({ category, streamId, data }: Happened): Promise<string[]> {
    const uid = streamId.slice(category.length + 1)
    if (category === 'server') return [uid]
    if (category === 'secret') return this.usersOf(uid)
    if (category !== 'instance') return []
    const scheduled = (data as { server?: { uid: string } }).server?.uid
    if (scheduled !== undefined) this.servers.set(uid, scheduled)
    const server = scheduled ?? (await this.serverOf(uid))
    return server === undefined ? [] : [server]
  }

  async sweep(term: Term, foundBefore: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    const busy = this.runs.busy()
    const { units } = await this.drivers.list()
    const wanted = new Set(await this.objects.uids('Instance'))
    const orphans = units.filter(({ instanceUid }) => !wanted.has(instanceUid) && !busy.has(instanceUid))
    const removed = orphans.filter(({ instanceUid }) => foundBefore.has(instanceUid) && !term.signal.aborted)
    // One that cannot be removed is found again and does not keep the others.
    await Promise.allSettled(
      removed.map(async ({ driver, instanceUid, handle }) => {
        await this.drivers.get(driver).stop(instanceUid, 0)
        await this.saga.observe(term, instanceUid, { type: 'ReportOrphan', handle })
      }),
    )
    return new Set(orphans.map(({ instanceUid }) => instanceUid))
  }

  /** A driver or a connection says that an instance may have changed. */
  private async hint(instanceUid: string): Promise<void> {
    const serverUid = await this.serverOf(instanceUid).catch(() => undefined)
    if (serverUid !== undefined) this.wake(serverUid)
  }

  private async serverOf(instanceUid: string): Promise<string | undefined> {
    const known = this.servers.get(instanceUid)
    if (known !== undefined) return known
    if (this.servers.size > MAX_KNOWN) this.servers.clear()
    const instance = (await this.objects.last(instanceUid)) as InstanceRow | undefined
    if (instance) this.servers.set(instanceUid, instance.spec.serverUid)
    return instance?.spec.serverUid
  }

  /** The servers that name a secret. Read by its name, as what they wait for may be this very secret or the one that had the name before. */
  private async usersOf(secretUid: string): Promise<string[]> {
    const secret = await this.objects.last(secretUid)
    return secret ? this.objects.referrersOf({ kind: 'Secret', name: secret.metadata.name }, 'Server') : []
  }

  private async look(server: ResourceObject, term: Term): Promise<Seen> {
    // In this order: what a start or stop that ends meanwhile has changed is then at worst seen late, never taken for a loss.
    const busy = this.runs.busy()
    const rows = await this.objects.where('Instance', ['spec', 'serverUid'], server.metadata.uid)
    const instances = rows as InstanceRow[]
    const units = await this.drivers.list(new Set(instances.map(({ spec }) => spec.driver)))
    const template = templateOfServer(server)
    const heads = await this.headsOf(template)
    const driver = this.drivers.choose(template)
    const planned = plannedServer(server, { driver, instances, heads, settleMs: this.pace.settleMs })
    const seen = (row: InstanceRow) => ({
      unit: this.unitOf(row, units),
      connection: this.connections.state(row.metadata.uid),
      busy: busy.has(row.metadata.uid),
      template: hashOf(template),
    })
    const situation = settle({
      server: planned,
      instances: instances.map((row) => plannedInstance(row, seen(row))),
      now: Date.now(),
    })
    return { term, server, instances, situation }
  }

  private async headsOf(template: InstanceTemplate): Promise<ReadonlyMap<string, SecretHead>> {
    const names = secretNames(template)
    return names.length > 0 && this.secrets ? this.secrets.head(names) : new Map()
  }

  private unitOf({ spec, metadata }: InstanceRow, { units, unavailable }: UnitList): Unit | 'unknown' | undefined {
    if (unavailable.some(({ driver }) => driver === spec.driver)) return 'unknown'
    return units.find(({ instanceUid, driver }) => instanceUid === metadata.uid && driver === spec.driver)
  }

  private async act(action: Action, seen: Seen): Promise<void> {
    const { term, server } = seen
    if (action.type === 'confirmDeleted') return this.saga.confirmDeleted(term, server.metadata.uid)
    if (action.type === 'schedule') return this.schedule(action.slot, seen)
    const row = seen.instances.find(({ metadata }) => metadata.uid === action.uid)
    if (row) await this.actOn(action, row, term)
  }

  private async actOn(
    action: Exclude<Action, { type: 'schedule' | 'confirmDeleted' }>,
    row: InstanceRow,
    term: Term,
  ): Promise<void> {
    const { uid } = action
    const driver = this.drivers.get(row.spec.driver)
    const instance = { uid, serverUid: row.spec.serverUid }
    switch (action.type) {
      case 'start':
        return this.runs.start(term, driver, orderOf(row, term.term))
      case 'stop':
        return this.runs.stop(term, driver, instance)
      case 'kill':
        return this.runs.kill(term, driver, { ...instance, exit: exitOf(action) })
      case 'connect':
        return this.connect(driver, row)
      case 'adopt':
        return this.saga.observe(term, uid, { type: 'ReportStarted', handle: action.handle, at: now() })
      case 'drain':
        this.runs.cancelStart(uid)
        return this.saga.observe(term, uid, { type: 'Drain', reason: action.reason })
      case 'reportReady':
        return this.reportReady(uid, term)
      case 'reportUnready': {
        const { reason, message } = action
        return this.saga.observe(term, uid, { type: 'ReportUnready', reason, message })
      }
      case 'reportExit':
        this.connections.drop(uid)
        return this.saga.observe(term, uid, exitOf(action))
    }
  }

  private connect(driver: Driver, { metadata, status, spec }: InstanceRow): void {
    const resume = spec.transport === 'stdio' ? status.handshake : undefined
    this.connections.ensure(metadata.uid, () => driver.connect(metadata.uid), resume)
  }

  private async reportReady(uid: string, term: Term): Promise<void> {
    const state = this.connections.state(uid)
    if (state.phase !== 'ready') return
    const { upstream, tools } = state
    await this.saga.observe(term, uid, { type: 'ReportReady', handshake: upstream.negotiated, tools, at: now() })
  }

  private async schedule(slot: number, { server, situation, term }: Seen): Promise<void> {
    const { uid, name } = server.metadata
    const { templateHash, secrets, driver, isolated } = situation.server
    await this.saga.schedule(term, uuidv7(), {
      name: `${name}-${templateHash.slice(0, 4)}-${String(slot)}`,
      server: { uid, name },
      slot,
      templateHash,
      template: templateOfServer(server),
      ...(Object.keys(secrets).length > 0 && { secrets }),
      driver,
      isolated,
    })
  }
}

const now = () => new Date().toISOString()

const exitOf = (action: Extract<Action, { type: 'kill' | 'reportExit' }>) => {
  const exit = action.type === 'reportExit' ? action.exit : undefined
  const { code = null, signal = null, oom = false } = exit ?? {}
  const { reason, message } = action
  return { type: 'ReportExit', exit: { code, signal, oom, reason, message }, at: now() } as const
}

const orderOf = ({ metadata, spec }: InstanceRow, term: number): SealedOrder => ({
  uid: metadata.uid,
  name: metadata.name,
  serverUid: spec.serverUid,
  serverName: spec.server,
  templateHash: spec.templateHash,
  template: spec.template,
  ...(spec.secrets && { secrets: spec.secrets }),
  term,
})
