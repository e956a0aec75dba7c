import type { ResourceObject } from '@mcpctl/contracts'
import { seeded } from '@mcpctl/event-store/testing/seeded'
import { instanceDecider, type InstanceCommand } from '@mcpctl/kinds/instance/instance.decider'
import { instanceView, type InstanceObject } from '@mcpctl/kinds/instance/instance.view'
import { settle } from '@mcpctl/kinds/server/secret-rotation.plan'
import {
  hashOf,
  plannedInstance,
  plannedServer,
  templateOfServer,
  type InstanceRow,
} from '@mcpctl/kinds/server/server-situation.reconciler'
import { observe } from '@mcpctl/kinds/server/server-status.plan'
import { serverDecider, type ServerCommand, type ServerState } from '@mcpctl/kinds/server/server.decider'
import { nextDue, plan, type Action, type PlannedInstance, type Situation } from '@mcpctl/kinds/server/server.plan'
import { serverView, type ServerObject } from '@mcpctl/kinds/server/server.view'
import type { InstanceTemplate } from '@mcpctl/runtime'

const driver = { name: 'process', isolated: false } as const
const start = Date.parse('2026-01-01T00:00:00.000Z')
const serverUid = 'server'
const handshake = { protocolVersion: '1', capabilities: {}, serverInfo: { name: 'a', version: '1' } }

/** What runs of an instance. */
interface Unit {
  state: 'running' | 'exited'
  /** It has answered the handshake. */
  answers: boolean
}

interface Copy {
  state: Parameters<typeof instanceDecider.evolve>[0]
  object: InstanceObject
  unit: Unit | undefined
}

/**
 * One server, its instances and the secrets that it names, driven by the real plan, deciders and views; what a driver and time would do is done by
 * whoever drives it. Nothing waits: the clock is a number.
 */
export class RolloutWorld {
  now = start
  readonly random: () => number
  readonly heads = new Map<string, { uid: string; version: number; keys: string[] }>()
  readonly copies = new Map<string, Copy>()
  /** Everything that was planned, in order. */
  readonly acts: Action[] = []
  /** Whether an instance of this template and these versions can get ready. */
  isGood: (instance: InstanceObject) => boolean = () => true
  private server: Parameters<typeof serverDecider.evolve>[0] = serverDecider.initial
  private object: ServerObject | undefined
  private generation = 0
  private made = 0

  constructor(
    seed: number,
    readonly settleMs = 10_000,
  ) {
    this.random = seeded(seed)
  }

  get at(): string {
    return new Date(this.now).toISOString()
  }

  pick<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.random() * list.length)]
  }

  apply(desired: ServerState): void {
    const identity = { name: 'app', labels: {}, annotations: {} }
    this.command({ type: 'Apply', mode: 'apply', identity, desired, forbiddenSecrets: [] })
  }

  /** A new version; the first makes the secret. */
  rotate(name: string): void {
    const head = this.heads.get(name)
    this.heads.set(name, head ? { ...head, version: head.version + 1 } : { uid: this.uid(), version: 1, keys: ['k'] })
  }

  situation(): Situation {
    const object = this.row()
    const template = hashOf(templateOfServer(object))
    const instances = this.rows()
    const around = { driver, instances, heads: this.heads, settleMs: this.settleMs }
    const planned = instances.map((row) => plannedInstance(row, { ...this.seen(row), template }))
    return settle({ server: plannedServer(object, around), instances: planned, now: this.now })
  }

  status(): ServerObject['status'] {
    if (!this.object) throw new Error('there is no server')
    return this.object.status
  }

  condition(type: string): string | undefined {
    const found = this.status().conditions?.find((condition) => condition.type === type)
    return found && `${found.status} ${found.reason}`
  }

  /** One pass of the reconciler. Answers what it did, and when it is due again. */
  pass(): { actions: Action[]; due: number | undefined } {
    const actions = plan(this.situation())
    for (const action of actions) this.act(action)
    this.acts.push(...actions)
    const after = this.situation()
    this.command({ type: 'ReportStatus', observation: observe(after), at: this.at })
    return { actions, due: nextDue(this.situation()) }
  }

  /** What a driver and a server do by themselves: what runs answers, unless it is no good; then it ends. */
  live(uids: readonly string[] = [...this.copies.keys()]): void {
    for (const uid of uids) {
      const copy = this.copies.get(uid)
      if (copy?.unit?.state !== 'running') continue
      if (this.isGood(copy.object)) copy.unit.answers = true
      else copy.unit = { state: 'exited', answers: false }
    }
  }

  crash(uid: string): void {
    const copy = this.copies.get(uid)
    if (copy?.unit) copy.unit = { state: 'exited', answers: false }
  }

  observe(uid: string, command: InstanceCommand): void {
    const copy = this.copies.get(uid)
    if (!copy) return
    for (const event of instanceDecider.decide(command, copy.state)) {
      copy.state = instanceDecider.evolve(copy.state, event)
      const object = instanceView(copy.object, { ...event, position: 1n, at: this.at })
      if (object) copy.object = object
      else this.copies.delete(uid)
    }
  }

  /** Passes until nothing is left to do, time going from one due moment to the next. */
  settleDown(longestMs = 3_600_000): void {
    const end = this.now + longestMs
    for (let round = 0; round < 2_000; round++) {
      this.live()
      const { actions, due } = this.pass()
      if (actions.length > 0) continue
      if (due === undefined || this.now + due > end) return
      this.now += Math.max(1, due)
    }
    throw new Error(`no end after 2000 passes: ${JSON.stringify(this.acts.slice(-10))}`)
  }

  private act(action: Action): void {
    switch (action.type) {
      case 'schedule':
        return this.schedule(action.slot)
      case 'confirmDeleted':
        return this.command({ type: 'ConfirmDeleted' })
      case 'drain':
        return this.observe(action.uid, { type: 'Drain', reason: action.reason })
      case 'stop':
        return this.observe(action.uid, { type: 'ConfirmStopped' })
      case 'reportReady':
        return this.observe(action.uid, { type: 'ReportReady', handshake, tools: 1, at: this.at })
      case 'reportExit': {
        const { reason, message } = action
        this.copies.get(action.uid)!.unit = undefined
        const exit = { code: 1, signal: null, oom: false, reason, message }
        return this.observe(action.uid, { type: 'ReportExit', exit, at: this.at })
      }
      case 'start':
        return this.start(action.uid)
      case 'connect':
        return undefined
      default:
        throw new Error(`not expected here: ${action.type}`)
    }
  }

  /** As the reconciler does it: it starts with what it was scheduled with, or says what is missing. */
  private start(uid: string): void {
    const copy = this.copies.get(uid)!
    const names = secretsIn(copy.object.spec.template)
    const missing = names.find((name) => {
      const used = copy.object.spec.secrets?.[name]
      return !used || ![...this.heads.values()].some((head) => head.uid === used.uid)
    })
    if (missing === undefined) {
      copy.unit = { state: 'running', answers: false }
      return this.observe(uid, { type: 'ReportStarted', handle: 'h', at: this.at })
    }
    const message = `secret "${missing}" not found`
    return this.observe(uid, { type: 'ReportStartFailure', reason: 'CreateConfigError', message, at: this.at })
  }

  private schedule(slot: number): void {
    const { server } = this.situation()
    const { templateHash, secrets } = server
    if ([...this.copies.values()].some(({ object }) => object.spec.slot === slot))
      throw new Error(`slot ${String(slot)} is taken`)
    const identity = {
      name: `app-${String(slot)}`,
      server: { uid: serverUid, name: 'app' },
      slot,
      templateHash,
      template: templateOfServer(this.row()),
      ...(Object.keys(secrets).length > 0 && { secrets }),
      driver: driver.name,
      isolated: false,
    }
    const [event] = instanceDecider.decide({ type: 'Schedule', identity }, instanceDecider.initial)
    const object = event && instanceView(undefined, { ...event, position: 1n, at: this.at })
    if (!event || !object) throw new Error('nothing was scheduled')
    const state = instanceDecider.evolve(instanceDecider.initial, event)
    this.copies.set(this.uid(), { state, object, unit: undefined })
  }

  private command(command: ServerCommand): void {
    for (const event of serverDecider.decide(command, this.server)) {
      const before = JSON.stringify(this.object?.spec)
      this.server = serverDecider.evolve(this.server, event)
      this.object = serverView(this.object, { ...event, position: 1n, at: this.at })
      if (JSON.stringify(this.object?.spec) !== before) this.generation += 1
    }
  }

  private row(): ResourceObject {
    if (!this.object) throw new Error('there is no server')
    const { spec, status } = this.object
    return {
      kind: 'Server',
      metadata: { ...metadata, name: 'app', uid: serverUid, generation: this.generation },
      spec: { ...spec },
      status: { ...status },
    }
  }

  private rows(): InstanceRow[] {
    return [...this.copies].map(([uid, { object }]) => {
      const { name, spec, status, deletionTimestamp } = object
      const head = { ...metadata, name, uid, ...(deletionTimestamp !== undefined && { deletionTimestamp }) }
      return { kind: 'Instance', metadata: head, spec: { ...spec }, status: { ...status } }
    })
  }

  private seen({ metadata: { uid } }: InstanceRow): Omit<Parameters<typeof plannedInstance>[1], 'template'> {
    const unit = this.copies.get(uid)?.unit
    const connection = unit?.answers ? { phase: 'ready' } : { phase: 'connecting', since: performance.now() }
    return {
      unit: unit && { instanceUid: uid, handle: 'h', state: unit.state, driver: driver.name },
      connection,
      busy: false,
    } as Omit<Parameters<typeof plannedInstance>[1], 'template'>
  }

  private uid(): string {
    this.made += 1
    return `u${String(this.made)}`
  }
}

const metadata = {
  labels: {},
  annotations: {},
  resourceVersion: '1.1',
  generation: 1,
  createdAt: '2026-01-01T00:00:00Z',
  createdBy: 'admin',
}

/** A template that takes the values of these secrets, each at its current version or at the one that is pinned. */
export const templateWith = (name: string, secrets: Record<string, number | undefined> = {}): InstanceTemplate => ({
  package: `npm:${name}@1.0.0`,
  transport: 'stdio',
  command: [],
  args: [],
  env: Object.entries(secrets).map(([secret, version]) => ({
    name: secret,
    valueFrom: { secretRef: { name: secret, key: 'k', ...(version !== undefined && { version }) } },
  })),
})

const secretsIn = ({ env }: InstanceTemplate) =>
  env.flatMap((entry) => ('valueFrom' in entry ? [entry.valueFrom.secretRef.name] : []))

/** Of a situation: the instances that are not on their way out. */
export const liveIn = ({ instances }: Situation): PlannedInstance[] =>
  instances.filter(({ state }) => state !== 'draining')
