#!/usr/bin/env node
// How fast lists are that show what their reader may view, over HTTP, of a daemon of its own. Usage: node test/bench/access/lists.mjs [SERVERS]
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from '../../../scripts/lib/root.mjs'
import { setup } from '../../../scripts/setup.mjs'

await setup()
const { build } = await import('esbuild')
const outfile = join(root, '.cache', `bench-lists-${process.pid}.mjs`)
mkdirSync(join(root, '.cache'), { recursive: true })
await build({
  entryPoints: [join(import.meta.dirname, 'workloads/filtered-list.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  tsconfig: join(root, 'tsconfig.json'),
  logLevel: 'warning',
})
process.chdir(root)
try {
  const { filteredLists } = await import(pathToFileURL(outfile).href)
  await filteredLists(Number(process.argv[2] ?? 10_000))
} finally {
  rmSync(outfile, { force: true })
}
