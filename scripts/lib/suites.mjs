import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { root } from './root.mjs'

/** Names a file into which `summarise` also writes its results, for a caller that adds up several commands. */
export const resultsVariable = 'MCPCTL_RESULTS_FILE'

/** A suite that takes longer than this hangs, and is ended. */
const LIMIT_MS = 30 * 60 * 1000

/** What waits for databases and processes most of its time runs side by side, beyond the number of cores. */
const workersOf = (project) =>
  ['integration', 'acceptance'].includes(project)
    ? [`--maxWorkers=${Math.min(8, Math.ceil(availableParallelism() * 1.5))}`]
    : []

/** Node's arguments before jest's: ES modules in jest are still behind a flag, and its warning says nothing to a contributor. */
const jestCommand = [
  '--experimental-vm-modules',
  '--disable-warning=ExperimentalWarning',
  'node_modules/jest/bin/jest.js',
]

const runJest = (args, env, quiet) =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [...jestCommand, ...args], {
      cwd: root,
      stdio: ['ignore', quiet ? 'pipe' : 'inherit', quiet ? 'pipe' : 'inherit'],
      env: { ...process.env, ...env },
      timeout: LIMIT_MS,
    })
    const chunks = []
    child.stdout?.on('data', (chunk) => chunks.push(chunk))
    child.stderr?.on('data', (chunk) => chunks.push(chunk))
    child.on('error', (error) => resolve({ code: 1, output: String(error) }))
    child.on('close', (code) => resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString() }))
  })

const readReport = (file) => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined)

// A file that does not load, a teardown that throws, a whole suite without tests: each counts as one failure.
const count = (report, code, mayBeEmpty) => {
  if (!report || (report.numTotalTestSuites === 0 && !mayBeEmpty)) return { passed: 0, failed: 1, files: 0 }
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites
  return {
    passed: report.numPassedTests,
    // A skipped test proves nothing and must not look like success.
    failed: (failed || (code === 0 ? 0 : 1)) + report.numPendingTests,
    files: report.numTotalTestSuites,
  }
}

/**
 * Runs one jest project and counts its tests. `name` is what the summary calls it, so that one project can run twice
 * (against two databases). With `quiet`, jest's own report is returned as `output` instead of printed.
 */
export const runSuite = async ({ name, project, args = [], env = {}, quiet = false }) => {
  mkdirSync(join(root, '.cache'), { recursive: true })
  const file = join(root, '.cache', `jest-${project}-${process.pid}.json`)
  const started = Date.now()
  // The flag that takes a list stands before another flag, lest it eat the patterns in `args`.
  // A test that failed half-way may leave a child behind, which would keep jest from ending.
  const flags = ['--selectProjects', project, ...workersOf(project), '--passWithNoTests', '--forceExit', '--json']
  flags.push(`--outputFile=${file}`)
  const { code, output } = await runJest([...flags, ...args], env, quiet)
  const result = count(readReport(file), code, args.length > 0)
  rmSync(file, { force: true })
  return { name, ...result, seconds: (Date.now() - started) / 1000, output }
}

/** Hands results to the caller that asked for them through the environment. */
export const report = (results) => {
  const file = process.env[resultsVariable]
  if (file) writeFileSync(file, JSON.stringify(results.map(({ output: _, ...result }) => result)))
}

/** One line per suite, then the sum; returns the exit code: 1 when a test failed or none ran. */
export const summarise = (results) => {
  console.log('')
  const width = Math.max(...results.map(({ name }) => name.length))
  for (const { name, passed, failed, files, seconds } of results)
    console.log(`${name.padEnd(width)}  ${passed} passed, ${failed} failed  (${files} files, ${seconds.toFixed(1)} s)`)
  const passed = results.reduce((sum, result) => sum + result.passed, 0)
  const failed = results.reduce((sum, result) => sum + result.failed, 0)
  console.log(`${passed} passed, ${failed} failed`)
  report(results)
  return failed > 0 || passed === 0 ? 1 : 0
}
