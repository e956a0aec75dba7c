#!/usr/bin/env node
import { SetupFailed, install } from './lib/install.mjs'
import { isMain } from './lib/is-main.mjs'

/** Packages installed, apps built; resolves with whether anything had to be built. Prints a person's next step and ends the process when that is impossible. */
export const setup = async ({ apps = true } = {}) => {
  try {
    install()
    if (!apps) return false
    const { build } = await import('./build.mjs')
    const started = Date.now()
    const built = await build()
    if (built) console.log(`built the apps in ${((Date.now() - started) / 1000).toFixed(1)} s`)
    return built
  } catch (error) {
    // esbuild has printed its own findings already.
    console.error(
      error instanceof SetupFailed ? `error: ${error.message}` : error.errors ? 'error: the build failed' : error,
    )
    process.exit(1)
  }
}

if (isMain(import.meta.url)) await setup()
