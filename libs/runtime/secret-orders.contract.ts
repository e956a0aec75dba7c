import type { Driver, InstanceInputs, InstanceOrder, InstanceTemplate, LogLine } from './driver'
import { callTool, handshake } from './contract-client'
import { orderOf } from './driver.contract'

/** A value that no log may hold, with bytes that text has to escape. */
export const token = 'ghp_"16C7e42F+292c6912E7710c838347Ae178B4a'
export const pem = Buffer.from('-----BEGIN-----\nMIIEowIBAAKCAQEA4f5wg5l2hKsTeNem\n-----END-----\n')
export const bytes = Buffer.from([0, 255, 10, 13, 0, 128, 7, 9])

/** What a template with secrets has come to: a variable, and files at their usual places or at others. */
export const secretInputs = (paths: { pem?: string; bytes?: string } = {}): InstanceInputs => ({
  env: [
    { name: 'LOG', value: 'info' },
    { name: 'TOKEN', value: token },
  ],
  files: [
    { path: paths.pem ?? '/run/secrets/pem', env: 'PEM_FILE', content: Buffer.from(pem) },
    { path: paths.bytes ?? '/run/secrets/deep/bytes', env: 'BYTES_FILE', content: Buffer.from(bytes) },
  ],
  secrets: [Buffer.from(token), Buffer.from(pem), Buffer.from(bytes)],
  secretEnv: ['TOKEN'],
})

export const secretOrder = (wanted: InstanceTemplate, inputs = secretInputs()): InstanceOrder => ({
  ...orderOf(wanted),
  inputs,
})

/** A file as the server's program finds it. */
export interface SeenFile {
  path: string
  /** Octal. */
  mode: string
  /** It belongs to the user that the program runs as. */
  own: boolean
  content: Buffer
}

/** What the server's program finds: its environment, and each file where the variable says that it lies. */
export const seenBy = async (
  driver: Driver,
  uid: string,
): Promise<{ env: Record<string, string>; files: SeenFile[] }> => {
  const connection = await driver.connect(uid)
  await handshake(connection)
  const env = JSON.parse(await callTool(connection, 'get-env')) as Record<string, string>
  const files: SeenFile[] = []
  for (const name of ['PEM_FILE', 'BYTES_FILE']) {
    const path = env[name] ?? ''
    const seen = JSON.parse(await callTool(connection, 'get-file', { path })) as SeenFile & { content: string }
    files.push({ ...seen, path, content: Buffer.from(seen.content, 'base64') })
  }
  return { env, files }
}

/** Everything that the instance's log holds. */
export const logTextOf = async (driver: Driver, uid: string): Promise<string> => {
  const lines: LogLine[] = []
  for await (const line of driver.logs(uid, {})) lines.push(line)
  return lines.map(({ text }) => text).join('\n')
}
