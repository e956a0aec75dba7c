import { spawn } from 'node:child_process'
import { join } from 'node:path'

/** The built program; the global setup of the test run has brought it up to date. */
export const program = (app: 'mcpd' | 'mcpctl' | 'mcplocal'): string => join(process.cwd(), 'dist', app, 'main.js')

export interface Answer {
  code: number | null
  out: string
  err: string
}

export interface Execution {
  env: NodeJS.ProcessEnv
  cwd?: string
  input?: string
  /** A program that takes longer is killed, and answers code null. */
  limitMs?: number
}

/** Runs a program to its end with everything it printed. */
export const execute = (file: string, args: string[], options: Execution): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const { env, cwd, input = '', limitMs = 120_000 } = options
    const child = spawn(file, args, { env, ...(cwd !== undefined && { cwd }), timeout: limitMs, killSignal: 'SIGKILL' })
    const answer: Answer = { code: null, out: '', err: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => (answer.out += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (answer.err += text))
    child.stdin.on('error', () => undefined).end(input)
    child.on('error', reject)
    child.on('close', (code) => resolve({ ...answer, code }))
  })

/** Waits until `look` answers something true, and answers that; one that throws is tried again. Throws with the last look after `within` ms. */
export const until = async <T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  within = 60_000,
): Promise<T> => {
  const deadline = performance.now() + within
  for (;;) {
    let cause: unknown
    try {
      const found = await look()
      if (found !== undefined && found !== false) return found
    } catch (error) {
      cause = error
    }
    if (performance.now() > deadline)
      throw new Error(`not within ${within / 1000} s: ${what}${cause instanceof Error ? ` (${cause.message})` : ''}`, {
        cause,
      })
    await pause(50)
  }
}

/** Runs every step, the last first; throws what the first that failed said. */
export const undo = async (steps: (() => Promise<unknown>)[]): Promise<void> => {
  const errors: unknown[] = []
  for (const step of steps.toReversed()) await step().catch((error: unknown) => errors.push(error))
  if (errors.length > 0) throw errors[0]
}

/** Between two looks at something that changes by itself. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
