import { rmSync, writeFileSync } from 'node:fs'
import { daemonFile } from '@mcpctl/client/paths'
import type { Leader } from '@mcpctl/reconcile'
import { version } from './version'

/** This running process: where it listens, whether it leads, how it ends. */
export class Daemon {
  readonly startedAt = new Date().toISOString()
  address = ''
  /** From the moment on at which the end has begun. */
  isEnding = false
  private leadership: Leader | undefined
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

  contend(leadership: Leader): void {
    this.leadership = leadership
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

  onShutDown(end: (options: { all: boolean }) => void): void {
    this.end = end
  }

  /** Begins an orderly end; returns at once. */
  shutDown(options: { all: boolean }): void {
    this.end(options)
  }
}
