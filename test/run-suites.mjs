import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { root } from '../scripts/lib/root.mjs'
import { resultsVariable, runSuite, summarise } from '../scripts/lib/suites.mjs'

/** Runs a command with its output shown as it comes; resolves with the exit code and the output's lines. */
const run = (command, args, env = {}) =>
  new Promise((resolve) => {
    console.log(`\n$ ${[command, ...args].join(' ')}`)
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
      process.stdout.write(chunk)
    })
    child.on('error', (error) => {
      console.error(String(error))
      resolve({ code: 1, lines: [] })
    })
    // A server that the command has left running would keep the pipe open for ever.
    child.on('exit', () => setTimeout(() => child.stdout.destroy(), 1000).unref())
    child.on('close', (code) => resolve({ code: code ?? 1, lines: output.trimEnd().split('\n') }))
  })

const timed = async (work) => {
  const started = Date.now()
  const value = await work()
  return { value, seconds: (Date.now() - started) / 1000 }
}

// What could not even start counts as one failure: nothing is skipped in silence.
const couldNotRun = (name, reason, seconds = 0) => {
  console.error(`\n${name} could not run: ${reason}`)
  return { name, passed: 0, failed: 1, files: 0, seconds }
}

/** `npm run check` and `npm test` as a contributor runs them; both report their parts through a file. */
const npmScript = async (args) => {
  const file = join(root, '.cache', `results-${process.pid}.json`)
  mkdirSync(join(root, '.cache'), { recursive: true })
  try {
    const { value, seconds } = await timed(() => run('npm', args, { [resultsVariable]: file }))
    if (!existsSync(file))
      return [couldNotRun(`npm ${args.join(' ')}`, `it ended with exit code ${value.code}`, seconds)]
    const results = JSON.parse(readFileSync(file, 'utf8'))
    const consistent = value.code === 0 || results.some(({ failed }) => failed > 0)
    return consistent ? results : [...results, couldNotRun(`npm ${args.join(' ')}`, `exit code ${value.code}`, seconds)]
  } finally {
    rmSync(file, { force: true })
  }
}

/** Runs `suite` with the last line of the script that starts what it needs. */
const withStarted = async (name, script, suite) => {
  if (!existsSync(join(root, script))) return couldNotRun(name, `${script} is missing`)
  const { code, lines } = await run('bash', [script])
  if (code !== 0) return couldNotRun(name, `${script} ended with exit code ${code}`)
  return suite(lines.at(-1) ?? '')
}

const integrationOnPostgres15 = () => {
  const name = 'integration (PostgreSQL 15)'
  const script = 'scripts/postgres15-up.sh'
  return withStarted(name, script, async (url) => {
    try {
      if (!/^postgres(ql)?:\/\//.test(url)) return couldNotRun(name, `${script} printed no URL on its last line`)
      console.log(`\n== ${name}`)
      return await runSuite({ name, project: 'integration', env: { MCPCTL_TEST_DATABASE_URL: url } })
    } finally {
      await run('bash', [script, '--stop'])
    }
  })
}

const engineAnswers = () => spawnSync('docker', ['version', '--format', '{{.Server.Version}}']).status === 0

/** Ends the engine that the script has started, by the id that it has written down. */
const stopEngine = async () => {
  const file = `${process.env.ENGINE_RUN ?? '/run/docker'}.pid`
  if (!existsSync(file)) return
  process.kill(Number(readFileSync(file, 'utf8')), 'SIGTERM')
  const deadline = Date.now() + 30_000
  while (existsSync(file) && Date.now() < deadline) await delay(100)
}

const docker = async () => {
  const name = 'docker'
  const wasUp = engineAnswers()
  return withStarted(name, 'scripts/engine-up.sh', async () => {
    try {
      const images = await run('node', ['scripts/test-images.mjs'])
      if (images.code !== 0) return couldNotRun(name, 'the test images could not be built')
      console.log(`\n== ${name}`)
      return await runSuite({ name, project: 'docker' })
    } finally {
      // An engine that somebody else had started stays.
      if (!wasUp) await stopEngine()
    }
  })
}

const results = [
  ...(await npmScript(['run', 'check', '--', '--without-specs'])),
  ...(await npmScript(['test'])),
  await integrationOnPostgres15(),
  await docker(),
]
process.exitCode = summarise(results)
