import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { everything, memory } from '../acceptance/world'

/** One decision: who asks for what, and what the API must answer. */
export interface AccessCase {
  id: string
  who: string
  req: string
  want: string
  why: string
}

interface CaseFile {
  groups: Record<string, string[]>
  disabled: string[]
  /** Subjects `g:dev` or `u:alice`; entries `edit:servers:github` or `op logs:servers/github`. */
  bindings: Record<string, { s: string[]; e: string[] }>
  projects: Record<string, string[]>
  cases: AccessCase[]
}

const file = JSON.parse(readFileSync(join(process.cwd(), 'test/acceptance/access-cases.json'), 'utf8')) as CaseFile

export const accessCases: readonly AccessCase[] = file.cases

export type RbacEntry = { role: string; resource: string; name?: string } | { action: string; resource?: string }

/** `edit:servers:github` or `op logs:servers/github`, as a manifest holds it. */
export const entryOf = (text: string): RbacEntry => {
  const [what = '', ...rest] = text.replace(/^op /, '').split(':')
  const [resource, name] = rest.flatMap((part) => (text.startsWith('op ') ? part.split('/') : [part]))
  const place = { ...(resource !== undefined && { resource }), ...(name !== undefined && { name }) }
  return text.startsWith('op ') ? { action: what, ...place } : { role: what, resource: '', ...place }
}

/** The manifest entry of a binding: `u:alice` and `g:dev` get what the texts say. */
export const rbacOf = (name: string, subjects: string[], entries: string[]) => ({
  name,
  subjects: subjects.map((subject) => ({ kind: subject.startsWith('g:') ? 'Group' : 'User', name: subject.slice(2) })),
  bindings: entries.filter((text) => !text.startsWith('op ')).map(entryOf),
  operations: entries.filter((text) => text.startsWith('op ')).map(entryOf),
})

/** The administrator whom the first start makes. */
export const root = 'root'

const nameOf = ({ who }: AccessCase): string[] => {
  const [, name = '', , as] = /^([\w.@-]+)(.*?--as ([\w.@-]+))?/.exec(who) ?? []
  return [name, as ?? ''].filter((each) => each !== '' && each !== 'anonymous')
}

/** Everybody whom the fixture or a case names; those whose account a case calls deleted come and go. */
const users = [
  ...new Set([
    ...Object.values(file.groups).flat(),
    ...Object.values(file.bindings).flatMap(({ s }) =>
      s.filter((each) => each.startsWith('u:')).map((u) => u.slice(2)),
    ),
    ...file.cases.flatMap(nameOf),
    'bob',
  ]),
]

export const deletedUsers = file.cases.flatMap(({ who }) => /^(\w+) \(deleted\)/.exec(who)?.[1] ?? [])

/** What secrets of the fixture hold. */
export const secretValue = 'a value of the fixture that nobody may see'

/** A variable that is filled from a secret of the fixture. */
export const secretEnv = (name: string) => ({ name: 'TOKEN', valueFrom: { secretRef: { name, key: 'token' } } })

/** github takes a value from a secret; those who may edit it may not all use that. */
const envOf = (name: string): object[] => [
  { name: 'FIXTURE', value: name },
  ...(name === 'github' ? [secretEnv('gh-token')] : []),
]

const server = (name: string) => everything(name, 1, { env: envOf(name) })

/** A server that nothing runs of. */
export const idleServer = (name: string, more: Record<string, unknown> = {}) => memory(name, 0, more)

/** The whole fixture as one manifest; applying it again brings back whatever a case has changed. `idle`: nothing runs. */
export const fixtureOf = ({ idle = false } = {}) => ({
  users: users
    .filter((name) => !deletedUsers.includes(name))
    .map((name) => ({ name, type: 'human', enabled: !file.disabled.includes(name) })),
  groups: Object.entries(file.groups).map(([name, members]) => ({ name, members })),
  servers: [
    ...Object.values(file.projects)
      .flat()
      .map(idle ? (name) => idleServer(name, { env: envOf(name) }) : server),
    idleServer('team-a'),
  ],
  secrets: ['gh-token', 'other'].map((name) => ({ name, data: { token: secretValue } })),
  projects: Object.entries(file.projects).map(([name, servers]) => ({ name, servers })),
  rbac: Object.entries(file.bindings).map(([name, { s, e }]) => rbacOf(name, s, e)),
})
