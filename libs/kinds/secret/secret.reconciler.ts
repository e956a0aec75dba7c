import { Injectable } from '@nestjs/common'
import { Objects } from '@mcpctl/read-model'
import type { Happened, Reconciler, Term } from '@mcpctl/reconcile'
import { defaultHistoryLimit } from './secret.kind'
import { SecretSaga } from './secret.saga'

const nothing: ReadonlySet<string> = new Set()

/** Destroys versions that were in use when they outlived the history limit, once nothing uses them any more. */
@Injectable()
export class SecretReconciler implements Reconciler {
  constructor(
    private readonly objects: Objects,
    private readonly saga: SecretSaga,
  ) {}

  async reconcile(uid: string, term: Term): Promise<undefined> {
    const secret = await this.objects.findByUid(uid)
    const { versions = [] } = (secret?.status ?? {}) as { versions?: unknown[] }
    const { historyLimit = defaultHistoryLimit } = (secret?.spec ?? {}) as { historyLimit?: number }
    if (versions.length > historyLimit) await this.saga.sweep(term, uid)
    return undefined
  }

  keys(): Promise<string[]> {
    return this.objects.uids('Secret')
  }

  /** Its own events and the end of an instance, with which a version may fall out of use. */
  async keysOf({ category, streamId }: Happened): Promise<string[]> {
    const uid = streamId.slice(category.length + 1)
    if (category === 'secret') return [uid]
    if (category !== 'instance') return []
    const instance = await this.objects.last(uid)
    const { secrets = {} } = (instance?.spec ?? {}) as { secrets?: Record<string, { uid: string }> }
    return Object.values(secrets).map((secret) => secret.uid)
  }

  onWake(): void {
    // Nothing here happens by itself.
  }

  sweep(): Promise<ReadonlySet<string>> {
    return Promise.resolve(nothing)
  }

  idle(): Promise<void> {
    return Promise.resolve()
  }
}
