import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { bundleOptions, decorators, mcpdExternals, requireForCommonJs } from '../lib/bundle.mjs'
import { root } from '../lib/root.mjs'

const entry = 'apps/mcpd/src/openapi.ts'

/** Whether mcpd describes its interface yet. */
export const hasOpenApi = () => existsSync(join(root, entry))

const load = async () => {
  const esbuild = await import('esbuild')
  // Inside the repository, so that the packages outside the bundle are found.
  const outfile = join(root, `.cache/openapi-${process.pid}.mjs`)
  try {
    await esbuild.build({
      ...bundleOptions,
      entryPoints: [entry],
      outfile,
      sourcemap: false,
      external: mcpdExternals,
      plugins: [decorators],
      banner: { js: requireForCommonJs },
    })
    return await import(pathToFileURL(outfile).href)
  } finally {
    rmSync(outfile, { force: true })
  }
}

let loaded
const described = () => (loaded ??= load())

const json = (value) => `${JSON.stringify(value, null, 2)}\n`

/** The OpenAPI document: `openApiDocument()` of apps/mcpd/src/openapi.ts. */
export const openapi = async () => json(await (await described()).openApiDocument())

/** The JSON Schema of a manifest, for editors: `manifestSchema()` of apps/mcpd/src/openapi.ts. */
export const manifestSchema = async () => json(await (await described()).manifestSchema())
