import { until } from './binaries'
import { api, type Caller, type Item } from './caller'

export interface WatchEvent {
  id?: string
  type: string
  object: Item & { code?: number; reason?: string }
}

/** A stream of lines or events that stays open; what came is kept, and so is how it ended. */
export class EventSource {
  readonly events: WatchEvent[] = []
  text = ''
  status = 0
  /** `performance.now()` of the end; undefined while it is open. */
  endedAt: number | undefined
  private readonly gone = new AbortController()

  /** Watches objects of a kind, those that are there first. Answers when the headers are there. */
  static watch(caller: Caller, plural: string, query = ''): Promise<EventSource> {
    return EventSource.open(caller, `/${plural}?watch=1&sendInitialEvents=true${query}`, 'text/event-stream')
  }

  static async open(caller: Caller, path: string, accept: string): Promise<EventSource> {
    const source = new EventSource()
    const answer = await caller.open('GET', api + path, { signal: source.gone.signal, accept })
    source.status = answer.status
    void source.read(answer)
    return source
  }

  /** What happened, without the bookmarks that come by the clock. */
  get changes(): WatchEvent[] {
    return this.events.filter(({ type }) => ['ADDED', 'MODIFIED', 'DELETED'].includes(type))
  }

  /** Names in the order in which they were first told of. */
  get names(): string[] {
    return [...new Set(this.changes.map(({ object }) => object.metadata.name))]
  }

  has(type: string, name: string): boolean {
    return this.events.some((event) => event.type === type && event.object.metadata.name === name)
  }

  /** Waits until such an event has come. */
  saw(type: string, name: string, within = 30_000): Promise<true> {
    return until(`${type} ${name}`, () => this.has(type, name) || undefined, within)
  }

  /** Waits for the other side's end; answers when that was. */
  ended(within = 20_000): Promise<number> {
    return until('the stream has ended', () => this.endedAt, within)
  }

  close(): void {
    this.gone.abort()
  }

  private async read(answer: Response): Promise<void> {
    const decoder = new TextDecoder()
    let rest = ''
    try {
      for await (const chunk of answer.body ?? []) {
        const text = decoder.decode(chunk as Uint8Array, { stream: true })
        this.text += text
        const blocks = (rest + text).split('\n\n')
        rest = blocks.pop() ?? ''
        for (const block of blocks) this.take(block)
      }
    } catch {
      // Broken off, by either side: ended all the same.
    }
    this.endedAt = performance.now()
  }

  private take(block: string): void {
    const fields = new Map(
      block.split('\n').flatMap((line) => {
        const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? []
        return name === undefined ? [] : [[name, value ?? ''] as const]
      }),
    )
    const [type, data, id] = ['event', 'data', 'id'].map((name) => fields.get(name))
    if (type === undefined || data === undefined) return
    const object = JSON.parse(data) as WatchEvent['object']
    this.events.push({ type, object, ...(id !== undefined && { id }) })
  }
}
