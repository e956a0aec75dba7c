#!/usr/bin/env node
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { root } from './lib/root.mjs'
import { connect } from './lib/stdio-client.mjs'
import { setup } from './setup.mjs'

const mcpctl = join(root, 'dist/mcpctl/main.js')
const mcplocal = join(root, 'dist/mcplocal/main.js')

const dataDirectory = () => {
  if (process.env.MCPD_DATA_DIR) return process.env.MCPD_DATA_DIR
  if (process.getuid?.() === 0) return '/var/lib/mcpctl'
  return join(process.env.XDG_DATA_HOME || join(homedir(), '.local/share'), 'mcpctl')
}

class StepFailed extends Error {}

/** Prints the command as a person would type it, and runs it with its own output. Throws StepFailed. */
const run = (...args) => {
  console.log(`\n$ mcpctl ${args.join(' ')}`)
  const { status, error } = spawnSync(process.execPath, [mcpctl, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (error) throw error
  if (status !== 0) throw new StepFailed(`\`mcpctl ${args.join(' ')}\` ended with exit code ${status}`)
}

const callTools = async () => {
  console.log('\n$ mcplocal --project quickstart        (an MCP client is connected to it over stdio)')
  const client = await connect(process.execPath, [mcplocal, '--project', 'quickstart'])
  try {
    for (const message of ['hello from mcpctl', 'and a second call']) {
      const parameters = { message }
      console.log(`→ tools/call everything__echo ${JSON.stringify(parameters)}`)
      const { content, isError } = await client.callTool('everything__echo', parameters)
      console.log(`← ${content.map(({ text }) => text).join('\n')}`)
      if (isError) throw new Error('the tool answered with an error')
    }
  } finally {
    await client.close()
  }
}

const mainJob = async (built) => {
  // A daemon that runs still executes the code from before the build.
  if (built && existsSync(join(dataDirectory(), 'mcpd.json'))) run('down')
  run('up')
  run('apply', '-f', 'examples/quickstart.yaml')
  run('wait', '--for=condition=Available', 'server/everything', '--timeout=300s')
  run('get', 'servers')
  run('get', 'instances')
  try {
    await callTools()
  } catch (error) {
    throw new StepFailed(`the tool call through mcplocal failed: ${error.message}`, { cause: error })
  }
}

const nextSteps = `
It works. Try next, in this folder (\`npm link\` once lets you leave out \`npx\`):
  npx mcpctl describe server/everything
  npx mcpctl logs everything
  npx mcpctl scale server/everything --replicas=3
  npx mcpctl apply -f examples/team.yaml
Give an AI client the project's tools: its command is
  node ${mcplocal} --project quickstart
Stop:
  npx mcpctl down
`

const built = await setup()
try {
  await mainJob(built)
  console.log(nextSteps)
} catch (error) {
  if (!(error instanceof StepFailed)) throw error
  console.error(`\nerror: ${error.message}\nThe daemon's log is ${join(dataDirectory(), 'mcpd.log')}`)
  process.exitCode = 1
}
