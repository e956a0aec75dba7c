#!/usr/bin/env node
/** An MCP server over stdio, without dependencies, whose tools show what it was given. */
import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { createInterface } from 'node:readline'

/** Ends at once when a variable has the value that this one names, as a program does that cannot do with what it was given. */
const { REFUSED } = process.env
if (Object.entries(process.env).some(([name, value]) => name !== 'REFUSED' && value === REFUSED)) process.exit(1)

const text = (value) => ({ type: 'text', text: value })
const stringArgument = (name) => ({ type: 'object', properties: { [name]: { type: 'string' } }, required: [name] })

const tools = {
  'get-env': {
    inputSchema: { type: 'object' },
    run: () => JSON.stringify(process.env),
  },
  'get-file': {
    inputSchema: stringArgument('path'),
    run: ({ path }) => {
      const { mode, uid } = statSync(path)
      const content = readFileSync(path).toString('base64')
      return JSON.stringify({ mode: (mode & 0o7777).toString(8), own: uid === process.getuid(), content })
    },
  },
  /** Writes a variable to its log as a careless program would: plain, in JSON and in base64. */
  'log-env': {
    inputSchema: stringArgument('name'),
    run: ({ name }) => {
      const value = process.env[name] ?? ''
      process.stderr.write(
        `${name} is ${value}, ${JSON.stringify({ value })}, ${Buffer.from(value).toString('base64')}\n`,
      )
      return 'written'
    },
  },
  'log-file': {
    inputSchema: stringArgument('path'),
    run: ({ path }) => {
      process.stderr.write(`${basename(path)} is ${readFileSync(path)}\n`)
      return 'written'
    },
  },
}

const call = ({ name, arguments: given = {} }) => {
  const tool = tools[name]
  if (!tool) return { content: [text(`no tool ${name}`)], isError: true }
  try {
    return { content: [text(tool.run(given))] }
  } catch (error) {
    return { content: [text(String(error))], isError: true }
  }
}

const { TELLS, REFUSES } = process.env

const answers = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: 'inputs', version: '1.0.0' },
    ...(TELLS && { instructions: `Signed in with ${process.env[TELLS]}` }),
  }),
  ping: () => ({}),
  'tools/list': () => ({
    tools: Object.entries(tools).map(([name, { inputSchema }]) => ({ name, inputSchema })),
  }),
  'tools/call': call,
}

const reply = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line)
  if (id === undefined) continue
  const answer = answers[method]
  // As programs do that say which key was refused.
  if (REFUSES && method === 'initialize')
    reply({ id, error: { code: -32000, message: `bad credentials: ${process.env[REFUSES]}` } })
  else if (answer) reply({ id, result: answer(params ?? {}) })
  else reply({ id, error: { code: -32601, message: `no method ${method}` } })
}
