#!/usr/bin/env node
import { availableParallelism } from 'node:os'
import { setup } from './setup.mjs'
import { inParallel, runTool } from './lib/steps.mjs'
import { report, runSuite } from './lib/suites.mjs'

await setup({ apps: false })

const unit = async () => {
  const { passed, failed, output } = await runSuite({ name: 'unit', project: 'unit', quiet: true })
  return { code: failed > 0 || passed === 0 ? 1 : 0, output, note: `${passed} passed, ${failed} failed` }
}

/** Slowest first, so that the last step to end is a short one. Whoever runs the suites as well leaves the unit specs to them. */
const steps = [
  ['lint', () => runTool('eslint', ['.'])],
  ...(process.argv.includes('--without-specs') ? [] : [['unit specs', unit]]),
  ['types', () => runTool('tsc', ['-p', 'tsconfig.json', '--noEmit'])],
  ['boundaries', () => runTool('depcruise', ['apps', 'libs', 'test', '--config', '.dependency-cruiser.mjs'])],
  ['dead code', () => runTool('knip', ['--no-progress', '--no-config-hints'])],
  [
    'format',
    () => runTool('prettier', ['--check', '--log-level=warn', '--cache', '--cache-location=.cache/prettier', '.']),
  ],
  ['generated files', () => runTool('node', ['scripts/gen.mjs', '--check'])],
]

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`

const failures = []
const runStep = async ([name, run]) => {
  const started = Date.now()
  const { code, output, note } = await run()
  console.log(`${code === 0 ? '✔' : '✘'} ${name.padEnd(16)} ${seconds(started).padStart(7)}${note ? `  ${note}` : ''}`)
  if (code !== 0) failures.push({ name, output })
}

const started = Date.now()
await inParallel(
  steps.map((step) => () => runStep(step)),
  Math.max(2, Math.min(4, availableParallelism())),
)

for (const { name, output } of failures) console.log(`\n── ${name} ${'─'.repeat(60)}\n${output.trimEnd()}`)
console.log(
  failures.length === 0
    ? `\nall ${steps.length} checks passed in ${seconds(started)}`
    : `\n${failures.length} of ${steps.length} checks failed in ${seconds(started)}: ${failures.map(({ name }) => name).join(', ')}`,
)
report([
  {
    name: 'check',
    passed: steps.length - failures.length,
    failed: failures.length,
    files: steps.length,
    seconds: (Date.now() - started) / 1000,
  },
])
process.exitCode = failures.length === 0 ? 0 : 1
