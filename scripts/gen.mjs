#!/usr/bin/env node
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { events } from './generators/events.mjs'
import { fold } from './generators/fold.mjs'
import { manifestSchema, openapi } from './generators/openapi.mjs'
import { hasRoleTable, rolePage, roleTable } from './generators/role-table.mjs'
import { root } from './lib/root.mjs'

/** Every file that is derived from the code. A new one is one line here. */
const generators = [
  { path: 'apps/mcpd/src/store/fold.ts', produce: fold },
  { path: 'docs/reference/events.md', produce: events },
  { path: 'docs/reference/openapi.json', produce: openapi },
  { path: 'docs/reference/manifest.schema.json', produce: manifestSchema },
  { path: rolePage, produce: roleTable, applies: hasRoleTable },
]

const read = (path) => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined)

const write = (path, text) => {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}

const check = process.argv.includes('--check')
const stale = []
for (const { path, produce, applies = () => true } of generators) {
  if (!applies()) continue
  const fresh = await produce()
  if (fresh === read(path)) continue
  stale.push(path)
  if (!check) write(path, fresh)
}

for (const path of stale) console.log(check ? `${path} is out of date` : `wrote ${path}`)
if (check && stale.length > 0) {
  console.log('run: npm run gen')
  process.exitCode = 1
}
// Describing the interface may have opened timers or pools that nobody closes.
process.exit()
