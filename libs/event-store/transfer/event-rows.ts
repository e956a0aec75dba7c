import { BinaryRows, Timestamps, uuidAt } from '../binary-rows'

/** The columns that `EventRows` reads, in its order. */
export const rowColumns = `position, version, recorded_at, category, stream_id, event_id, type, schema_version, claims, data, meta,
  content_hash, hash`
const columns = 13

/**
 * Makes lines of an export out of `COPY (SELECT position, version …) TO STDOUT (FORMAT binary)`. PostgreSQL would take twice as long
 * for them as it takes to hand out the columns. Texts of jsonb are taken as they are: the same value has the same text everywhere.
 */
export class EventRows {
  private readonly input = new BinaryRows(columns)
  private readonly times = new Timestamps()
  private count = 0

  /** Whole rows so far. */
  get rows(): number {
    return this.count
  }

  /** The lines of the rows that the next chunk completes. */
  take(chunk: Buffer): string {
    let lines = ''
    this.input.take(chunk, () => {
      lines += this.line()
      this.count++
    })
    return lines
  }

  private line(): string {
    const { input } = this
    const claims = input.isEmpty(8) ? '[]' : input.json(8)
    return `{"position":${input.int8(0)},"version":${input.int8(1)},"recordedAt":"${this.times.at(input.int8(2))}","category":${JSON.stringify(input.text(3))},"streamId":${JSON.stringify(input.text(4))},"id":"${uuidAt(input, 5)}","type":${JSON.stringify(input.text(6))},"schemaVersion":${input.int4(7)},"claims":${claims},"data":${input.json(9)},"meta":${input.json(10)},"contentHash":"${input.hex(11)}","hash":"${input.hex(12)}"}\n`
  }
}
