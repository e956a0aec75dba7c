import { describe, expect, it } from '@jest/globals'
import type { Entry } from '../libs/access/entry'
import { AccessFacts } from '../libs/access/facts'
import { matching, type Ask } from '../libs/access/rights'
import { dice, makePolicy, size, type Policy } from './bench/access/policy'

const roles = ['view', 'create', 'edit', 'delete', 'run'] as const

/** The naive way: every entry of every subject is looked at. */
class Oracle {
  private readonly held = new Map<string, Entry[]>()

  constructor(private readonly policy: Policy) {
    for (const { subject, entry } of policy.bindings) {
      const key = `${subject.kind}-${String(subject.number)}`
      this.held.set(key, this.held.get(key) ?? [])
      this.held.get(key)?.push(entry)
    }
  }

  subjectsOf(user: number): string[] {
    return [`User-${String(user)}`, ...(this.policy.groupsOf[user] ?? []).map((group) => `Group-${String(group)}`)]
  }

  entriesOf(subject = ''): Entry[] {
    return this.held.get(subject) ?? []
  }

  allows(user: number, ask: Ask): boolean {
    const allows = matching(ask)
    return this.subjectsOf(user).some((subject) => this.entriesOf(subject).some(allows))
  }
}

describe('100,000 bindings', () => {
  const policy = makePolicy()
  const oracle = new Oracle(policy)
  const facts = new AccessFacts()
  for (const event of policy.events) facts.apply(event)

  /** Half of the questions are about something that the user has an entry for: hardly any would be allowed else. */
  const nameFor = (user: number, roll: (below: number) => number): string => {
    const subjects = oracle.subjectsOf(user)
    const entries = oracle.entriesOf(subjects[roll(subjects.length)])
    const near = entries[roll(Math.max(1, entries.length))]?.name
    return near !== undefined && roll(2) === 0 ? near : `server-${String(roll(size.servers))}`
  }

  it('allow what each of them by itself allows, and nothing else', () => {
    const roll = dice(4)
    const wrong: string[] = []
    let allowed = 0
    for (let n = 0; n < 10_000; n++) {
      const user = roll(size.users)
      const ask: Ask = { role: roles[roll(roles.length)] ?? 'view', kind: 'servers', name: nameFor(user, roll) }
      const answer = facts.rightsOfUser(`User-${String(user)}`).allows(ask)
      if (answer) allowed++
      if (answer !== oracle.allows(user, ask)) wrong.push(`user ${String(user)}: ${JSON.stringify(ask)}`)
    }
    expect(wrong).toEqual([])
    // Both answers were asked for often.
    expect(allowed).toBeGreaterThan(1_000)
    expect(allowed).toBeLessThan(9_000)
  })
})
