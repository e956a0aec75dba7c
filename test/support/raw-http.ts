import { connect } from 'node:net'

/** Sends bytes as they are, where an HTTP client would mend them, and answers the status; 0 when there was none. */
export const statusOfRaw = (server: string, lines: string[]): Promise<number> =>
  new Promise((resolve, reject) => {
    const { hostname, port, host } = new URL(server)
    const socket = connect({ host: hostname, port: Number(port) })
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)))
    socket.write([...lines, `host: ${host}`, 'connection: close', '', ''].join('\r\n'))
  })
