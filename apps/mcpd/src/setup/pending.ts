import type { Store } from '../store/store'

/** Whether nobody has ever been able to come in: until then there is nothing to do at this daemon but to set it up. */
export class Pending {
  private isOver = false

  constructor(private readonly store: Store) {}

  async isPending(): Promise<boolean> {
    if (this.isOver) return false
    const { facts } = await this.store.directory.current()
    this.isOver =
      facts.allUsers().some((user) => user.hasPassword || user.localTokens.length > 0) || (await this.hasToken())
    return !this.isOver
  }

  /** Stores of the time before there were passwords know their administrator by a token. */
  private async hasToken(): Promise<boolean> {
    const { rows } = await this.store.pool.query<{ found: boolean }>(
      'select exists (select from access.token) as found',
    )
    return rows[0]?.found === true
  }
}
