import { join } from 'node:path'
import { build } from 'esbuild'

/** Bundles a TypeScript file into one that node runs, for tests that need a process of their own; the caller deletes it. */
export const bundle = async (file: string, name: string): Promise<string> => {
  const root = process.cwd()
  const outfile = join(root, '.cache', `${name}-${process.pid}.mjs`)
  await build({
    entryPoints: [join(root, file)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    tsconfig: join(root, 'tsconfig.json'),
    logLevel: 'warning',
  })
  return outfile
}
