import type { Kind, ResourceObject } from '@mcpctl/contracts'
import type { Session } from '../session'
import { toBundle, toJson } from './bundle'
import { tableRows } from './objects'
import type { TableStyle } from './objects'
import { Table } from './table'

export type Happening = 'ADDED' | 'MODIFIED' | 'DELETED'

export interface WatchedStyle extends TableStyle {
  format: 'table' | 'wide' | 'yaml' | 'json' | 'name'
  /** Say what happened to each object. */
  events: boolean
  /** With yaml and json: the whole object. */
  full: boolean
}

/** Prints objects one after the other as something happens to them: rows of one table, or documents. */
export class WatchedOutput {
  private readonly table: Table
  private isFirst = true

  constructor(
    private readonly session: Session,
    private readonly kind: Kind,
    private readonly style: WatchedStyle,
  ) {
    this.table = new Table(style.events ? ['MODIFIED'.length] : [])
  }

  async print(happenings: readonly (readonly [Happening, ResourceObject])[]): Promise<void> {
    const { format } = this.style
    if (happenings.length === 0) return
    if (format === 'table' || format === 'wide') this.rows(happenings)
    else for (const [what, object] of happenings) await this.document(what, object)
    this.isFirst = false
  }

  private rows(happenings: readonly (readonly [Happening, ResourceObject])[]): void {
    const { io } = this.session
    const objects = happenings.map(([, object]) => object)
    const headers = this.style.headers && this.isFirst
    const rows = tableRows(this.kind, objects, { ...this.style, headers }, Date.now())
    const what = [...(headers ? ['EVENT'] : []), ...happenings.map(([happening]) => happening)]
    const shown = this.style.events ? rows.map((row, index) => [what[index] ?? '', ...row]) : rows
    io.out(this.table.format(shown, io.outIsTerminal ? io.columns : undefined))
  }

  private async document(what: Happening, object: ResourceObject): Promise<void> {
    const { format, events, full } = this.style
    const { session, kind } = this
    if (format === 'name') {
      session.print(`${events ? `${what} ` : ''}${kind.singular}/${object.metadata.name}\n`)
      return
    }
    const shown = events ? { type: what, object } : toBundle([{ kind, objects: [object] }], full)
    if (format === 'json') {
      session.print(toJson(shown))
      return
    }
    const { toYaml } = await import('./yaml')
    session.print(`${this.isFirst ? '' : '---\n'}${toYaml(shown)}`)
    this.isFirst = false
  }
}
