import { spawn } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

/** How npm ended; `output` is the end of what it said. */
export interface NpmExit {
  code: number | null
  output: string
}

const outputKept = 4_000

/** npm is a script of node's; running that by node needs no shell and no executable bit. */
const findNpm = (): { file: string; args: string[] } | undefined => {
  const directories = [dirname(process.execPath), ...(process.env.PATH ?? '').split(delimiter)]
  const candidates = directories.flatMap((directory) => [
    join(directory, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(directory, 'npm'),
  ])
  for (const candidate of candidates.filter(existsSync)) {
    const file = realpathSync(candidate)
    return file.endsWith('.js') ? { file: process.execPath, args: [file] } : { file, args: [] }
  }
  return undefined
}

const passed = [
  /^(PATH|HOME|TMPDIR|LANG|LC_ALL|USER|XDG_CACHE_HOME)$/,
  /^(https?_proxy|no_proxy|all_proxy)$/i,
  /^(NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|SSL_CERT_DIR)$/,
  /^npm_config_(registry|userconfig|globalconfig|cache|cafile|ca|proxy|https_proxy|noproxy|strict_ssl|offline|fetch_\w+|\/\/.*|@.*)$/i,
]

/** What npm needs to reach its registry; nothing else of the daemon's environment, which holds secrets. */
const npmEnv = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => passed.some((pattern) => pattern.test(name))))

/** Runs npm in a directory without a shell. Throws when there is no npm, it takes longer than `timeoutMs`, or the signal ends it. */
export const runNpm = async (
  args: string[],
  directory: string,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<NpmExit> => {
  const npm = findNpm()
  if (!npm) throw new Error('npm was not found beside node or on PATH')
  return new Promise((resolve, reject) => {
    const child = spawn(npm.file, [...npm.args, ...args, '--prefix', directory], {
      cwd: directory,
      env: npmEnv(),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      signal,
      killSignal: 'SIGKILL',
    })
    let output = ''
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-outputKept)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    let failure: Error | undefined
    child.on('error', (error) => {
      failure = error
      if (child.pid === undefined) reject(error)
    })
    // Not before it is gone: until then it may write into the directory that the caller removes.
    child.on('close', (code, endedBy) => {
      if (failure) reject(failure)
      else if (endedBy === 'SIGKILL') reject(new Error(`npm did not finish within ${String(timeoutMs / 1000)} s`))
      else resolve({ code, output })
    })
  })
}
