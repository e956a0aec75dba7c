import type Docker from 'dockerode'
import { DockerAttachment } from './docker-attachment'
import { isMcpOnStdio, labels } from './docker-container'
import type { DockerEngine } from './docker-engine'
import type { DockerSecrets } from './docker-secrets'
import type { InstanceLogs } from './instance-logs'

export interface AttachmentOptions {
  isMcp: boolean
  mode: 'next-run' | 'same-run'
  /** What its log leaves out. */
  secrets: readonly Buffer[]
}

/** The streams of this store's containers that this daemon holds, one attachment for each container. */
export class DockerAttachments {
  readonly #open = new Map<string, DockerAttachment>()
  #isClosed = false

  constructor(
    private readonly engine: DockerEngine,
    private readonly logs: InstanceLogs,
    private readonly secrets: DockerSecrets,
  ) {}

  uids(): string[] {
    return [...this.#open.keys()]
  }

  isOpen(instanceUid: string): boolean {
    return this.#open.get(instanceUid)?.isOpen ?? false
  }

  /** Attaches to a container, instead of to any other of the instance. */
  async open(instanceUid: string, containerId: string, options: AttachmentOptions): Promise<DockerAttachment> {
    this.drop(instanceUid)
    const { isMcp, mode, secrets } = options
    const openLog = () => this.logs.open(instanceUid, mode, secrets)
    const attachment = await DockerAttachment.open(this.engine, containerId, { isMcp, openLog })
    if (this.#isClosed) attachment.close()
    else this.#open.set(instanceUid, attachment)
    return attachment
  }

  /** The attachment of a running container, made anew where there is none. */
  async of(container: Docker.ContainerInspectInfo): Promise<DockerAttachment> {
    const uid = container.Config.Labels[labels.instance] ?? ''
    const present = this.#open.get(uid)
    if (present?.isOpen && present.containerId === container.Id) return present
    const secrets = await this.secrets.valuesOf(container)
    return this.open(uid, container.Id, { isMcp: isMcpOnStdio(container), mode: 'same-run', secrets })
  }

  drop(instanceUid: string): void {
    this.#open.get(instanceUid)?.close()
    this.#open.delete(instanceUid)
  }

  close(): void {
    this.#isClosed = true
    for (const uid of this.uids()) this.drop(uid)
  }
}
