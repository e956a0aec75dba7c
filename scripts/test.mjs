#!/usr/bin/env node
import { setup } from './setup.mjs'
import { runSuite, summarise } from './lib/suites.mjs'

await setup()

const args = process.argv.slice(2)
const results = []
for (const project of ['unit', 'integration', 'acceptance']) {
  console.log(`\n== ${project}`)
  results.push(await runSuite({ name: project, project, args }))
}
process.exitCode = summarise(results)
