import type { Duplex } from 'node:stream'
import { FrameSplitter } from './docker-frames'
import type { DockerEngine } from './docker-engine'
import type { LogSink } from './log-writer'
import { StdioChannel } from './stdio-channel'

/** The standard streams of a container: MCP goes to the channel, the rest to the log. */
export class DockerAttachment {
  readonly stdio: StdioChannel
  #isOpen = true

  private constructor(
    readonly containerId: string,
    private readonly stream: Duplex,
    private readonly sink: LogSink,
    isMcp: boolean,
  ) {
    this.stdio = new StdioChannel(stream)
    const frames = new FrameSplitter((name, chunk) => {
      if (name === 'stdout' && isMcp) this.stdio.push(chunk)
      else sink.write(name, chunk)
    })
    stream.on('data', (chunk: Buffer) => {
      frames.push(chunk)
    })
    for (const event of ['end', 'close', 'error'])
      stream.on(event, () => {
        this.close()
      })
  }

  /** Attaches to a created or running container. The log is opened once the engine has agreed. */
  static async open(
    engine: DockerEngine,
    containerId: string,
    { isMcp, openLog }: { isMcp: boolean; openLog: () => LogSink },
  ): Promise<DockerAttachment> {
    const options = { stream: true, hijack: true, stdin: isMcp, stdout: true, stderr: true }
    const stream = await engine.call((docker) => docker.getContainer(containerId).attach(options))
    return new DockerAttachment(containerId, stream as Duplex, openLog(), isMcp)
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Lets go; the container runs on, its input stays open. */
  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.stdio.end()
    this.sink.end()
    this.stream.destroy()
  }
}
