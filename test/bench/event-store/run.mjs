#!/usr/bin/env node
// How fast the event store is beside others. Usage: node test/bench/event-store/run.mjs [--help]
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../../../scripts/lib/root.mjs'
import { setup } from '../../../scripts/setup.mjs'

const folder = import.meta.dirname
const outdir = join(root, '.cache', `bench-event-store-${process.pid}`)

// Extra certificates are read at each start of node and have nothing to do with what is measured.
const env = { ...process.env, MCPCTL_ROOT: root, MCPCTL_BENCH_SCRATCH: outdir }
delete env.NODE_EXTRA_CA_CERTS
delete env.NODE_OPTIONS

/** The other stores are installed here only, so that the project does not depend on them. */
const installYardsticks = () => {
  const stampFile = join(folder, 'node_modules/.stamp')
  const stamp = createHash('sha256')
    .update(readFileSync(join(folder, 'package-lock.json')))
    .digest('hex')
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return
  console.error('installing the other event stores (npm ci)')
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--omit=optional', '--loglevel=error'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  if (status !== 0) {
    console.error('error: npm ci failed (see above); the other event stores come from the npm registry')
    process.exit(1)
  }
  writeFileSync(stampFile, stamp)
}

const bundle = async () => {
  const { build } = await import('esbuild')
  const { bundleOptions, decorators, mcpdExternals, requireForCommonJs } =
    await import('../../../scripts/lib/bundle.mjs')
  mkdirSync(outdir, { recursive: true })
  await build({
    ...bundleOptions,
    entryPoints: { main: join(folder, 'main.ts'), 'follow-process': join(folder, 'workloads/follow-process.ts') },
    outdir,
    outExtension: { '.js': '.mjs' },
    external: mcpdExternals,
    plugins: [decorators],
    banner: { js: requireForCommonJs },
  })
}

await setup({ apps: false })
installYardsticks()
await bundle()
const child = spawn(process.execPath, ['--expose-gc', join(outdir, 'main.mjs'), ...process.argv.slice(2)], {
  env,
  stdio: 'inherit',
})
// The child stops its server and then ends; Ctrl-C reaches it by itself.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('exit', (code) => {
  rmSync(outdir, { recursive: true, force: true })
  process.exitCode = code ?? 1
})
