import { homedir } from 'node:os'
import { join } from 'node:path'
import type { DirectConfig, SecretPlace } from '@mcpctl/contracts'
import type { Io } from '../io'

/** Where the user's own value goes: into a variable, or the path of a file with it. */
export interface Blank {
  server: string
  variable: string
  secret: SecretPlace
  isFile: boolean
}

/** A question that the client asks before it starts the server. */
export interface Input {
  type: 'promptString'
  id: string
  description: string
  password: boolean
}

/** A program that starts MCP servers, and how it wants to be told of them. */
export interface AiClient {
  word: string
  title: string
  /** The member that holds the servers by name. */
  container: 'mcpServers' | 'servers'
  /** Where its file is: of the current folder, or the user's. */
  file: (env: Io['env']) => string
  /** Whether an entry says its type. */
  typed: boolean
  /** What stands in place of a value; undefined text that the user has to replace. */
  blank: (blank: Blank) => string
  /** Questions that go with the blanks. */
  input?: (blank: Blank) => Input
  /** An entry for a server that runs elsewhere; absent where the client cannot. */
  remote?: (url: string, transport: DirectConfig['transport']) => Record<string, unknown>
  /** Whether its file takes blanks as they are, so that nobody has to write a value into it. */
  asks: boolean
}

const secretText = ({ name, key, version }: SecretPlace): string =>
  `secret ${name}, key ${key}${version === undefined ? '' : `, version ${String(version)}`}`

/** What belongs into a blank, in words. */
export const blankText = ({ secret, isFile }: Blank): string =>
  isFile ? `path of a file that holds ${secretText(secret)}` : `value of ${secretText(secret)}`

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

const typedRemote = (url: string, transport: DirectConfig['transport']) => ({
  type: transport === 'sse' ? 'sse' : 'http',
  url,
})

const desktopFile = (env: Io['env']): string => {
  const home = env['HOME'] || homedir()
  if (process.platform === 'darwin')
    return join(home, 'Library', 'Application Support', 'Claude', 'claude_desktop_config.json')
  if (process.platform === 'win32')
    return join(env['APPDATA'] ?? join(home, 'AppData', 'Roaming'), 'Claude', 'claude_desktop_config.json')
  return join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'Claude', 'claude_desktop_config.json')
}

const inputId = ({ server, variable }: Blank): string => `${server}-${variable}`

export const aiClients: readonly AiClient[] = [
  {
    word: 'claude-code',
    title: 'Claude Code',
    container: 'mcpServers',
    file: () => '.mcp.json',
    typed: true,
    // https://code.claude.com/docs/en/mcp, "Environment variable expansion in .mcp.json"
    blank: ({ variable, secret }) => (secret.optional ? `\${${variable}:-}` : `\${${variable}}`),
    remote: typedRemote,
    asks: true,
  },
  {
    word: 'claude-desktop',
    title: 'Claude Desktop',
    container: 'mcpServers',
    file: desktopFile,
    typed: false,
    // It takes every value as it stands.
    blank: (blank) => `<${blankText(blank)}>`,
    asks: false,
  },
  {
    word: 'cursor',
    title: 'Cursor',
    container: 'mcpServers',
    file: () => join('.cursor', 'mcp.json'),
    typed: true,
    // https://cursor.com/docs/mcp, "Config interpolation"
    blank: ({ variable }) => `\${env:${variable}}`,
    remote: (url) => ({ url }),
    asks: true,
  },
  {
    word: 'vscode',
    title: 'VS Code',
    container: 'servers',
    file: () => join('.vscode', 'mcp.json'),
    typed: true,
    // https://code.visualstudio.com/docs/copilot/reference/mcp-configuration, "Input variables for sensitive data"
    blank: (blank) => `\${input:${inputId(blank)}}`,
    input: (blank) => ({
      type: 'promptString',
      id: inputId(blank),
      description: sentence(blankText(blank)),
      password: !blank.isFile,
    }),
    remote: typedRemote,
    asks: true,
  },
]
