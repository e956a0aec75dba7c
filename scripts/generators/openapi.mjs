import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { bundleOptions, decorators, mcpdExternals, requireForCommonJs } from '../lib/bundle.mjs'
import { root } from '../lib/root.mjs'

const load = async () => {
  const esbuild = await import('esbuild')
  // Inside the repository, so that the packages outside the bundle are found.
  const outfile = join(root, `.cache/interface-${process.pid}.mjs`)
  try {
    await esbuild.build({
      ...bundleOptions,
      entryPoints: ['scripts/generators/interface.ts'],
      outfile,
      sourcemap: false,
      external: mcpdExternals,
      plugins: [decorators],
      banner: { js: requireForCommonJs },
    })
    const { describeInterface } = await import(pathToFileURL(outfile).href)
    return await describeInterface()
  } finally {
    rmSync(outfile, { force: true })
  }
}

let loaded
/** What `describeInterface` says. */
export const described = () => (loaded ??= load())

const json = (value) => `${JSON.stringify(value, null, 2)}\n`

/** The OpenAPI document that the daemon serves. */
export const openapi = async () => json((await described()).openapi)

/** The JSON Schema of a manifest, for editors. */
export const manifestSchema = async () => json((await described()).manifestSchema)
