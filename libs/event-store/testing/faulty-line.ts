import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import pg from 'pg'

/** A line to the database that can fail as lines do. For tests. */
export const faultyLine = async (databaseUrl: string) => {
  const { host, port } = new pg.Client(databaseUrl)
  const open = new Set<Socket>()
  let state: 'whole' | 'losing answers' | 'cut' = 'whole'
  const server = createServer((client) => {
    if (state === 'cut') return client.destroy()
    const upstream = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
        open.delete(socket)
      })
    }
    client.pipe(upstream)
    upstream.on('data', (answer: Buffer) => (state === 'whole' ? client.write(answer) : client.destroy()))
  })
  const hangUp = () => open.forEach((socket) => socket.destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(databaseUrl)
  url.searchParams.delete('host')
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    /** From now on requests arrive, and the line breaks instead of bringing an answer. */
    loseAnswers: () => {
      state = 'losing answers'
    },
    /** Breaks every connection and lets no new one through. */
    cut: () => {
      state = 'cut'
      hangUp()
    },
    mend: () => {
      state = 'whole'
    },
    close: async () => {
      hangUp()
      server.close()
      await once(server, 'close')
    },
  }
}
