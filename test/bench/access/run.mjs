#!/usr/bin/env node
// How fast decisions about rights are, beside casbin; with --lists also what a filtered list costs. Usage: npm run bench:access [-- --lists]
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../../../scripts/lib/root.mjs'
import { setup } from '../../../scripts/setup.mjs'

const folder = import.meta.dirname
const outdir = join(folder, 'node_modules', '.bench')

await setup({ apps: false })
const installed = spawnSync('npm', ['ci', '--ignore-scripts', '--loglevel=error'], {
  cwd: folder,
  stdio: ['ignore', 'ignore', 'inherit'],
  shell: process.platform === 'win32',
})
if (installed.status !== 0) {
  console.error('error: npm ci failed (see above); casbin comes from the npm registry')
  process.exit(1)
}
mkdirSync(outdir, { recursive: true })
const { build } = await import('esbuild')
const { bundleOptions } = await import('../../../scripts/lib/bundle.mjs')
await build({
  ...bundleOptions,
  entryPoints: [join(folder, 'main.ts')],
  outfile: join(outdir, 'main.mjs'),
  external: ['casbin'],
})
const { status } = spawnSync(process.execPath, ['--expose-gc', join(outdir, 'main.mjs')], { stdio: 'inherit' })
rmSync(outdir, { recursive: true, force: true })
process.exitCode = status ?? 1
if (process.argv.includes('--lists') && status === 0)
  process.exitCode = spawnSync(process.execPath, [join(folder, 'lists.mjs')], { stdio: 'inherit' }).status ?? 1
