import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const PROTOCOL = '2025-06-18'

/** Resolves a request by the answer that carries its id, and fails all that wait when the other side is gone. */
class Pending {
  #waiting = new Map()

  add(id, timeoutMs) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#settle(id, reject, new Error(`no answer within ${timeoutMs / 1000} s`)),
        timeoutMs,
      )
      this.#waiting.set(id, { resolve, reject, timer })
    })
  }

  answer({ id, result, error }) {
    const entry = this.#waiting.get(id)
    if (!entry) return
    if (error) this.#settle(id, entry.reject, new Error(error.message))
    else this.#settle(id, entry.resolve, result)
  }

  failAll(error) {
    for (const [id, { reject }] of this.#waiting) this.#settle(id, reject, error)
  }

  #settle(id, how, value) {
    clearTimeout(this.#waiting.get(id)?.timer)
    this.#waiting.delete(id)
    how(value)
  }
}

const parse = (line) => {
  try {
    return JSON.parse(line)
  } catch {
    return {}
  }
}

/**
 * A client as small as MCP allows: starts `command`, says hello over its stdin and stdout, and calls tools.
 * Rejects with what the command said on stderr when it ends early.
 */
export const connect = async (command, args, { timeoutMs = 30_000 } = {}) => {
  const child = spawn(command, args, { stdio: 'pipe' })
  const pending = new Pending()
  let stderr = ''
  let nextId = 1
  child.stderr.on('data', (chunk) => (stderr += chunk))
  child.stdin.on('error', () => undefined)
  child.on('error', (error) => pending.failAll(error))
  child.on('close', (code) => pending.failAll(new Error(`it ended with exit code ${code}\n${stderr.trim()}`)))
  createInterface({ input: child.stdout }).on('line', (line) => pending.answer(parse(line)))

  const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
  const request = (method, params) => {
    const id = nextId++
    const answer = pending.add(id, timeoutMs)
    send({ id, method, params })
    return answer
  }
  const close = () =>
    new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve()
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
      child.on('close', () => {
        clearTimeout(timer)
        resolve()
      })
      child.stdin.end()
    })

  try {
    const clientInfo = { name: 'mcpctl-quickstart', version: '1' }
    await request('initialize', { protocolVersion: PROTOCOL, capabilities: {}, clientInfo })
  } catch (error) {
    await close()
    throw error
  }
  send({ method: 'notifications/initialized' })
  return { callTool: (name, parameters) => request('tools/call', { name, arguments: parameters }), close }
}
