#!/usr/bin/env node
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bundleOptions, decorators, mcpdExternals, requireForCommonJs } from './lib/bundle.mjs'
import { contentHash, listFiles } from './lib/content-hash.mjs'
import { isMain } from './lib/is-main.mjs'
import { root } from './lib/root.mjs'

const main = (app) => `apps/${app}/src/main.ts`
const apps = ['mcpd', 'mcpctl', 'mcplocal'].filter((app) => existsSync(join(root, main(app))))
const sources = [
  'apps',
  'libs',
  'migrations',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'scripts/build.mjs',
  'scripts/lib',
]
const stampFile = join(root, 'dist/.stamp')

// esbuild keeps the entry's own `#!` line; a second one would not parse.
const shebang = (app) => (readFileSync(join(root, main(app)), 'utf8').startsWith('#!') ? '' : '#!/usr/bin/env node\n')

/**
 * The CLI starts anew for each command. CommonJS whose parts run only when a command needs them starts 10 ms sooner than
 * ES modules, of which each import costs a millisecond. Half of the text is the YAML parser: most commands never read it.
 */
const forQuickStart = {
  format: 'cjs',
  keepNames: false,
  minifySyntax: true,
  banner: { js: shebang('mcpctl') },
  plugins: [
    {
      name: 'yaml-apart',
      setup: ({ onResolve }) => onResolve({ filter: /^yaml$/ }, () => ({ path: './yaml.js', external: true })),
    },
  ],
}

const buildYaml = (esbuild, outdir) =>
  esbuild.build({
    ...bundleOptions,
    format: 'cjs',
    minifySyntax: true,
    stdin: { contents: "export * from 'yaml'", resolveDir: root },
    outfile: join(outdir, 'yaml.js'),
  })

const options = (app, outdir) => ({
  ...bundleOptions,
  entryPoints: { main: main(app) },
  outdir,
  external: app === 'mcpd' ? mcpdExternals : [],
  plugins: app === 'mcpd' ? [decorators] : [],
  banner: { js: `${shebang(app)}${requireForCommonJs}` },
  ...(app === 'mcpctl' ? forQuickStart : {}),
})

/** Replaces the whole folder by a rename, so that a command which starts meanwhile never sees half a build. */
const replaceFolder = (fresh, target) => {
  const old = `${target}.old-${process.pid}`
  if (existsSync(target)) renameSync(target, old)
  renameSync(fresh, target)
  rmSync(old, { recursive: true, force: true })
}

const buildApp = async (esbuild, app) => {
  const target = join(root, 'dist', app)
  const fresh = `${target}.new-${process.pid}`
  try {
    await esbuild.build(options(app, fresh))
    chmodSync(join(fresh, 'main.js'), 0o755)
    if (app === 'mcpctl') {
      await buildYaml(esbuild, fresh)
      writeFileSync(join(fresh, 'package.json'), '{ "type": "commonjs" }\n')
    }
    if (app === 'mcpd') cpSync(join(root, 'migrations'), join(fresh, 'migrations'), { recursive: true })
    replaceFolder(fresh, target)
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

const isFresh = (stamp) =>
  existsSync(stampFile) &&
  readFileSync(stampFile, 'utf8') === stamp &&
  apps.every((app) => existsSync(join(root, 'dist', app, 'main.js')))

/** Bundles the apps into dist/<app>/main.js; does nothing when no source has changed. Throws when a bundle fails. */
export const build = async ({ force = false, only = apps } = {}) => {
  const stamp = contentHash(listFiles(sources, (file) => !file.endsWith('.spec.ts')))
  if (!force && isFresh(stamp)) return false
  const esbuild = await import('esbuild')
  mkdirSync(dirname(stampFile), { recursive: true })
  rmSync(stampFile, { force: true })
  // Each may end before the first failure is told, so that none is cut off while it writes.
  const outcomes = await Promise.allSettled(only.map((app) => buildApp(esbuild, app)))
  const failed = outcomes.find(({ status }) => status === 'rejected')
  if (failed) throw failed.reason
  if (only.length === apps.length) writeFileSync(stampFile, stamp)
  return true
}

if (isMain(import.meta.url)) {
  const started = Date.now()
  const words = process.argv.slice(2)
  const only = apps.filter((app) => words.includes(app) || words.every((word) => word.startsWith('--')))
  try {
    const built = await build({ force: words.includes('--force') || only.length < apps.length, only })
    console.log(built ? `built ${only.join(', ')} in ${Date.now() - started} ms` : 'dist is up to date')
  } catch (error) {
    // esbuild has printed its own findings already.
    console.error(error.errors ? 'error: the build failed' : error)
    process.exitCode = 1
  }
}
