#!/usr/bin/env node
import { SetupFailed, install } from './lib/install.mjs'

/** Packages installed, apps built. Prints a person's next step and ends the process when that is impossible. */
export const setup = async ({ apps = true } = {}) => {
  try {
    install()
    if (!apps) return
    const { build } = await import('./build.mjs')
    const started = Date.now()
    if (await build()) console.log(`built the apps in ${((Date.now() - started) / 1000).toFixed(1)} s`)
  } catch (error) {
    // esbuild has printed its own findings already.
    console.error(
      error instanceof SetupFailed ? `error: ${error.message}` : error.errors ? 'error: the build failed' : error,
    )
    process.exit(1)
  }
}

if (process.argv[1] === import.meta.filename) await setup()
