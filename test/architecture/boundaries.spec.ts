import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { rules } from '../../.dependency-cruiser.mjs'

interface Violation {
  rule: { name: string }
  from: string
}

/** One import that breaks exactly one rule: the rule, the file, its import. */
const forbidden: [rule: string, file: string, statement: string][] = [
  ['no-cycles', 'libs/gateway/a.ts', "import { b } from './b'"],
  ['libs-know-no-kind', 'libs/runtime/knows-kind.ts', "import { k } from '@mcpctl/kinds/server/server.kind'"],
  ['kinds-know-no-app', 'libs/kinds/server/server.controller.ts', "import { o } from '../../../apps/mcpd/src/other'"],
  ['pure-roles-do-no-io', 'libs/kinds/server/server.plan.ts', "import { readFileSync } from 'node:fs'"],
  ['pure-roles-do-no-io', 'libs/kinds/server/server.decider.ts', "import { v7 } from 'uuid'"],
  ['pure-roles-import-pure', 'libs/kinds/server/server.view.ts', "import { c } from './server.commands'"],
  ['pure-roles-take-types-only', 'libs/kinds/project/project.plan.ts', "import { e } from '@mcpctl/event-store'"],
  ['kinds-meet-by-contract', 'libs/kinds/project/project.commands.ts', "import { c } from '../server/server.commands'"],
  ['sagas-send-commands', 'libs/kinds/project/project.saga.ts', "import { p } from '../server/server.schema'"],
  ['contracts-are-the-floor', 'libs/contracts/below.ts', "import { e } from '@mcpctl/event-store'"],
  ['contracts-are-the-floor', 'libs/contracts/package.ts', "import pg from 'pg'"],
  ['contracts-are-the-floor', 'libs/contracts/node.ts', "import { readFileSync } from 'node:fs'"],
  ['low-libs-stay-low', 'libs/client/high.ts', "import { r } from '@mcpctl/runtime'"],
  ['clients-see-contracts-only', 'apps/mcpctl/src/store.ts', "import { e } from '@mcpctl/event-store'"],
  [
    'clients-see-contracts-only',
    'apps/mcplocal/src/schema.ts',
    "import { p } from '@mcpctl/kinds/server/server.schema'",
  ],
  ['apps-are-apart', 'apps/mcplocal/src/cli.ts', "import { o } from '../../mcpctl/src/other'"],
  ['mcpd-wires-modules', 'apps/mcpd/src/role.ts', "import { c } from '@mcpctl/kinds/server/server.commands'"],
  ['code-knows-no-test', 'libs/runtime/fake.ts', "import { s } from '../../test/support/some'"],
]

const allowed: [file: string, statement: string][] = [
  ['libs/gateway/b.ts', "import type { a } from './a'"],
  ['libs/kinds/instance/instance.decider.ts', "import type { e } from '@mcpctl/event-store'"],
  ['libs/kinds/instance/instance.plan.ts', "import { f } from '@mcpctl/contracts'"],
  ['libs/kinds/instance/instance.commands.ts', "import { k } from '../server/server.kind'"],
  ['libs/kinds/instance/instance.reconciler.ts', "import { r } from '@mcpctl/runtime'"],
  ['libs/kinds/instance/instance.saga.ts', "import { c } from '../server/server.commands'"],
  ['libs/kinds/instance/instance.int.spec.ts', "import { c } from '../server/server.commands'"],
  ['libs/kinds/kinds.ts', "import { k } from './server/server.kind'"],
  ['apps/mcpctl/src/kinds.ts', "import { k } from '@mcpctl/kinds/kinds'"],
  ['apps/mcpctl/src/client.ts', "import { c } from '@mcpctl/client'"],
  ['apps/mcpd/src/modules.ts', "import { m } from '@mcpctl/kinds/modules'"],
]

/** What the statements above point at. */
const targets = [
  'libs/kinds/server/server.kind.ts',
  'libs/kinds/server/server.commands.ts',
  'libs/kinds/server/server.schema.ts',
  'libs/kinds/modules.ts',
  'libs/contracts/index.ts',
  'libs/event-store/index.ts',
  'libs/runtime/index.ts',
  'libs/client/index.ts',
  'apps/mcpd/src/other.ts',
  'apps/mcpctl/src/other.ts',
  'test/support/some.ts',
]

const repository = resolve(import.meta.dirname, '../..')
let tree: string
let found: string[]

const put = (path: string, text: string) => {
  mkdirSync(dirname(join(tree, path)), { recursive: true })
  writeFileSync(join(tree, path), `${text}\n`)
}

const cruise = (): Violation[] => {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(repository, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs'),
      ...['apps', 'libs', 'test', '--output-type', 'json'],
      ...['--config', join(repository, '.dependency-cruiser.mjs')],
    ],
    { cwd: tree, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  )
  if (stdout === '') throw new Error(stderr)
  return (JSON.parse(stdout) as { summary: { violations: Violation[] } }).summary.violations
}

beforeAll(() => {
  tree = mkdtempSync(join(tmpdir(), 'mcpctl-boundaries-'))
  for (const file of ['tsconfig.json', 'package.json']) cpSync(join(repository, file), join(tree, file))
  for (const name of ['uuid', 'pg']) {
    put(`node_modules/${name}/package.json`, JSON.stringify({ name, version: '1.0.0', main: 'index.js' }))
    put(`node_modules/${name}/index.js`, 'export const v7 = 1')
  }
  for (const path of targets) put(path, 'export {}')
  for (const [path, statement] of allowed) put(path, statement)
  for (const [, path, statement] of forbidden) put(path, statement)
  // The one circle: b needs a's value as well.
  put('libs/gateway/b.ts', "import { a } from './a'")
  found = cruise().map(({ rule, from }) => `${rule.name}: ${from}`)
}, 120_000)

afterAll(() => rmSync(tree, { recursive: true, force: true }))

describe('the import rules', () => {
  it.each(forbidden)('%s catches %s', (rule, file) => {
    expect(found).toContain(`${rule}: ${file}`)
  })

  it('catch nothing else', () => {
    const expected = new Set(forbidden.map(([rule, file]) => `${rule}: ${file}`))
    expect(
      found.filter((violation) => !expected.has(violation) && violation !== 'no-cycles: libs/gateway/b.ts'),
    ).toEqual([])
  })

  it('are each proven by a violation above', () => {
    expect(rules.map(({ name }) => name).sort()).toEqual([...new Set(forbidden.map(([rule]) => rule))].sort())
  })
})
