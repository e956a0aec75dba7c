import { rmSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { daemonFile } from '@mcpctl/client/paths'
import type { Leader } from '@mcpctl/reconcile'
import { version } from './version'

/** A new leader is usually found within this time. */
const ELECTION_MS = 5_000
const LOOK_MS = 100

/** This running process: where it listens, whether it leads, how it ends. */
export class Daemon {
  readonly startedAt = new Date().toISOString()
  address = ''
  /** From the moment on at which the end has begun. */
  isEnding = false
  private leadership: Leader | undefined
  private advertised = ''
  private end: (options: { all: boolean }) => void = () => undefined

  constructor(private readonly dataDirectory: string) {}

  /** Tells the CLI of the same OS user where we are. */
  announce(address: string): void {
    this.address = address
    const said = { pid: process.pid, address, startedAt: this.startedAt, version }
    writeFileSync(daemonFile(this.dataDirectory), `${JSON.stringify(said)}\n`, { mode: 0o600 })
  }

  retract(): void {
    rmSync(daemonFile(this.dataDirectory), { force: true })
  }

  /** `advertised`: the address that this daemon records while it leads. */
  contend(leadership: Leader, advertised: string): void {
    this.leadership = leadership
    this.advertised = advertised
  }

  leads(): boolean {
    return this.leadership?.current() !== undefined
  }

  /** Who leads: this daemon, or the address that the leader has recorded. */
  async leader(): Promise<{ self: boolean; address?: string }> {
    if (this.leads()) return { self: true, address: this.address }
    const address = await this.leadership?.leaderAddress()
    return { self: false, ...(address !== undefined && { address }) }
  }

  /** As `leader`, but waits a moment while nobody leads: after a start or a loss somebody soon does. */
  async anyLeader(): Promise<{ self: boolean; address?: string }> {
    const deadline = performance.now() + ELECTION_MS
    for (;;) {
      const leader = await this.leader().catch((): { self: boolean; address?: string } => ({ self: false }))
      const isUsable = leader.self || (leader.address !== undefined && leader.address !== this.advertised)
      if (isUsable || performance.now() > deadline || this.isEnding) return leader
      await delay(LOOK_MS)
    }
  }

  onShutDown(end: (options: { all: boolean }) => void): void {
    this.end = end
  }

  /** Begins an orderly end; returns at once. */
  shutDown(options: { all: boolean }): void {
    this.end(options)
  }
}
