import { Injectable } from '@nestjs/common'
import { Forgotten, Undecryptable } from '@mcpctl/event-store'
import { Objects } from '@mcpctl/read-model'
import {
  RequestRunner,
  SecretReader,
  streamOf,
  type SecretContent,
  type SecretHead,
  type SecretLost,
  type SecretSnapshot,
} from '@mcpctl/resource'
import { SecretValue, Vault, type Opened } from '@mcpctl/vault'
import { secretDecider, type PresentSecret } from './secret.decider'
import { SecretSaga } from './secret.saga'

type Status = { version: number; rotatedAt: string; keys: string[] }

const lostOf = (opened: Opened): SecretContent | SecretLost => {
  if (opened instanceof SecretValue) return { value: opened.bytes(), binary: opened.binary }
  return opened instanceof Undecryptable ? 'Undecryptable' : 'Forgotten'
}

/** Opens secrets, and raises the alarm where one cannot be opened though it should. */
@Injectable()
export class SecretOpening implements SecretReader {
  constructor(
    private readonly objects: Objects,
    private readonly requests: RequestRunner,
    private readonly vault: Vault,
    private readonly saga: SecretSaga,
  ) {}

  async head(names: readonly string[]): Promise<ReadonlyMap<string, SecretHead>> {
    const found = await Promise.all([...new Set(names)].map((name) => this.objects.find('Secret', name)))
    return new Map(
      found.flatMap((secret): [string, SecretHead][] => {
        if (!secret) return []
        const { version, rotatedAt, keys } = secret.status as Status
        return [[secret.metadata.name, { uid: secret.metadata.uid, version, changedAt: rotatedAt, keys }]]
      }),
    )
  }

  async read(
    wanted: { name: string } | { uid: string },
    version?: number,
  ): Promise<SecretSnapshot | 'NotFound' | 'NoSuchVersion'> {
    const uid = 'uid' in wanted ? wanted.uid : await this.uidOf(wanted.name)
    const secret = await this.stateOf(uid)
    if (uid === undefined || !secret) return 'NotFound'
    const asked = version ?? secret.version
    if (asked < 1 || asked > secret.version) return 'NoSuchVersion'
    const destroyed = secret.destroyed[asked]
    if (destroyed) return { uid, version: asked, values: new Map(destroyed.map((key) => [key, 'Forgotten'])) }
    const opened = await this.open(uid, secret, asked)
    if (version === undefined && (await this.wasReplaced(uid, secret, opened))) return this.read({ uid })
    return { uid, version: asked, values: new Map([...opened].map(([key, value]) => [key, lostOf(value)])) }
  }

  /** Values of one version, by key. Throws Unavailable while the keys cannot be had. */
  private async open(uid: string, secret: PresentSecret, version: number): Promise<Map<string, Opened>> {
    const opened = await this.vault.open(uid, version, secret.versions[version]?.values ?? {})
    const keys = [...opened].flatMap(([key, value]) => (value instanceof Undecryptable ? [key] : []))
    if (keys.length > 0 || secret.undecryptable?.version === version) await this.saga.report(uid, { version, keys })
    return opened
  }

  /** Whether somebody has destroyed what was the current version while it was opened. */
  private async wasReplaced(uid: string, { version }: PresentSecret, opened: Map<string, Opened>): Promise<boolean> {
    if (![...opened.values()].some((value) => value instanceof Forgotten)) return false
    return (await this.stateOf(uid))?.version !== version
  }

  private async uidOf(name: string): Promise<string | undefined> {
    const owner = await this.requests.look((unit) => unit.owner('name', `secret/${name}`))
    return owner?.slice('secret-'.length)
  }

  private async stateOf(uid: string | undefined): Promise<PresentSecret | undefined> {
    if (uid === undefined) return undefined
    const state = await this.requests.look((unit) => unit.state(secretDecider, streamOf(secretDecider.category, uid)))
    return state.status === 'present' ? state : undefined
  }
}
