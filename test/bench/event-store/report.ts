import { appendFile, writeFile } from 'node:fs/promises'
import { median, type Round } from './measure'

/** One measurement of one store. */
export interface Row {
  workload: string
  store: string
  /** Clients at once. */
  clients?: number
  unit: string
  median: number
  min: number
  max: number
  /** Latencies in milliseconds, medians of the rounds. */
  p50?: number
  p99?: number
  rounds: number[]
}

/** A ratio or value that was to be reached. */
export interface Goal {
  goal: string
  value: number
  min: number
  max: number
  /** `>=` a floor, `<=` a ceiling. */
  sense: '>=' | '<='
  target: number
  ok: boolean
}

const round3 = (value: number) => Number(value.toPrecision(4))

/** Collects rows and goals, prints each as JSON at once, and everything as tables in the end. */
export class Report {
  private readonly rows: Row[] = []
  private readonly goals: Goal[] = []
  private readonly notes: string[] = []

  constructor(private readonly file: string | undefined) {}

  async start(facts: object): Promise<void> {
    if (this.file !== undefined) await writeFile(this.file, '')
    await this.emit(facts)
  }

  async row(about: Pick<Row, 'workload' | 'store' | 'unit' | 'clients'>, rounds: Round[]): Promise<void> {
    const rates = rounds.map(({ rate }) => rate)
    const timed = rounds.every(({ p50 }) => p50 !== undefined)
    const row: Row = {
      ...about,
      median: round3(median(rates)),
      min: round3(Math.min(...rates)),
      max: round3(Math.max(...rates)),
      ...(timed && {
        p50: round3(median(rounds.map(({ p50 = NaN }) => p50))),
        p99: round3(median(rounds.map(({ p99 = NaN }) => p99))),
      }),
      rounds: rates.map(round3),
    }
    this.rows.push(row)
    await this.emit(row)
  }

  /** `values`: one per round; their median counts. */
  async goal(goal: string, values: number[], sense: Goal['sense'], target: number): Promise<void> {
    const value = median(values)
    const ok = sense === '>=' ? value >= target : value <= target
    const [min, max] = [Math.min(...values), Math.max(...values)]
    const entry = { goal, value: round3(value), min: round3(min), max: round3(max), sense, target, ok }
    this.goals.push(entry)
    await this.emit(entry)
  }

  async note(note: string): Promise<void> {
    this.notes.push(note)
    await this.emit({ note })
  }

  print(): void {
    const rows = this.rows.map((row) => [
      row.workload,
      String(row.clients ?? ''),
      row.store,
      amount(row.median),
      `${amount(row.min)}–${amount(row.max)}`,
      row.unit,
      row.p50 === undefined ? '' : `${row.p50} / ${row.p99 ?? ''}`,
    ])
    const goals = this.goals.map(({ goal, value, min, max, sense, target, ok }) => [
      goal,
      `${sense === '>=' ? '≥' : '≤'} ${target}`,
      String(value),
      `${min}–${max}`,
      ok ? 'ok' : 'MISS',
    ])
    process.stdout.write(
      `\n${table(['WORKLOAD', 'CLIENTS', 'STORE', 'MEDIAN', 'SPREAD', 'UNIT', 'P50 / P99 MS'], rows)}`,
    )
    if (goals.length > 0) process.stdout.write(`\n${table(['GOAL', 'TARGET', 'MEDIAN', 'SPREAD', ''], goals)}`)
    for (const note of this.notes) process.stdout.write(`\nnote: ${note}\n`)
  }

  private async emit(value: object): Promise<void> {
    const line = `${JSON.stringify(value)}\n`
    process.stdout.write(line)
    if (this.file !== undefined) await appendFile(this.file, line)
  }
}

const amount = (value: number) => (value >= 100 ? Math.round(value).toLocaleString('en') : String(value))

const table = (header: string[], rows: string[][]): string => {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return `${[header, ...rows].map(line).join('\n')}\n`
}

/** `a / b` of each round, by name of the lane. */
export const ratios = (results: Map<string, Round[]>, a: string, b: string): number[] => {
  const below = results.get(b) ?? []
  return (results.get(a) ?? []).map(({ rate }, nth) => rate / (below[nth]?.rate ?? NaN))
}
