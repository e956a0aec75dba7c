import { spawn } from 'node:child_process'
import { root } from './root.mjs'

const bin = (name, path) => [process.execPath, [`node_modules/${name}/${path}`]]

const tools = {
  prettier: bin('prettier', 'bin/prettier.cjs'),
  eslint: bin('eslint', 'bin/eslint.js'),
  tsc: bin('typescript', 'bin/tsc'),
  depcruise: bin('dependency-cruiser', 'bin/dependency-cruise.mjs'),
  knip: bin('knip', 'bin/knip.js'),
  node: [process.execPath, []],
}

/** Runs one of the tools, or node itself, without a shell. Resolves with the exit code and all output; never throws for a failure. */
export const runTool = (tool, args) =>
  new Promise((resolve) => {
    const [command, first] = tools[tool]
    const chunks = []
    const child = spawn(command, [...first, ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
    })
    child.stdout.on('data', (chunk) => chunks.push(chunk))
    child.stderr.on('data', (chunk) => chunks.push(chunk))
    child.on('error', (error) => resolve({ code: 1, output: String(error) }))
    child.on('close', (code, signal) =>
      resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString() + (signal ? `ended by ${signal}\n` : '') }),
    )
  })

/** Runs `tasks` with at most `width` at a time, started in their order. */
export const inParallel = async (tasks, width) => {
  const waiting = [...tasks]
  const worker = async () => {
    for (let task = waiting.shift(); task; task = waiting.shift()) await task()
  }
  await Promise.all(Array.from({ length: width }, worker))
}
