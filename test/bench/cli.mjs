#!/usr/bin/env node
// How long `mcpctl get servers` takes against the running daemon, next to `node -e 0`. Needs a daemon: mcpctl up.
// Usage: node test/bench/cli.mjs [rounds]
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const rounds = Number(process.argv[2] ?? 40)
const limit = 3
const program = join(import.meta.dirname, '../../dist/mcpctl/main.js')

// Extra certificates are read at each start of node and have nothing to do with ours.
const env = { ...process.env }
delete env.NODE_EXTRA_CA_CERTS
delete env.NODE_OPTIONS

const time = (args) => {
  const started = process.hrtime.bigint()
  const { status, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' })
  const milliseconds = Number(process.hrtime.bigint() - started) / 1e6
  if (status !== 0) throw new Error(`node ${args.join(' ')} exited ${status}: ${stderr}`)
  return milliseconds
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

const cases = { 'node -e 0': ['-e', '0'], 'mcpctl get servers': [program, 'get', 'servers'] }
const times = Object.fromEntries(Object.keys(cases).map((name) => [name, []]))
for (const args of Object.values(cases)) time(args)
// Interleaved, so that a busy moment of the machine hits both alike.
for (let round = 0; round < rounds; round++)
  for (const [name, args] of Object.entries(cases)) times[name].push(time(args))

const [bare, ours] = Object.values(times).map(median)
for (const [name, values] of Object.entries(times))
  console.log(`${name.padEnd(20)} median ${median(values).toFixed(1)} ms   min ${Math.min(...values).toFixed(1)} ms`)
const ratio = ours / bare
console.log(`ratio ${ratio.toFixed(2)} (limit ${limit})`)
if (ratio > limit) process.exitCode = 1
