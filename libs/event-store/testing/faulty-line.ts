import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import pg from 'pg'

/** The same database by way of the server. */
const listen = async (server: Server, databaseUrl: string) => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(databaseUrl)
  url.searchParams.delete('host')
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return url.href
}

/** A line to the database that can fail as lines do. For tests. */
export const faultyLine = async (databaseUrl: string) => {
  const { host, port } = new pg.Client(databaseUrl)
  const open = new Set<Socket>()
  let state: 'whole' | 'losing answers' | 'cut' | 'frozen' = 'whole'
  const server = createServer((client) => {
    if (state === 'cut') return client.destroy()
    // Taken, as a router that has lost its way would, and never answered.
    if (state === 'frozen') return void open.add(client.on('error', () => {}))
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
  return {
    url: await listen(server, databaseUrl),
    /** From now on requests arrive, and the line breaks instead of bringing an answer. */
    loseAnswers: () => {
      state = 'losing answers'
    },
    /** Breaks every connection and lets no new one through. */
    cut: () => {
      state = 'cut'
      hangUp()
    },
    /** Keeps every connection, and lets nothing through any more, either way. */
    freeze: () => {
      state = 'frozen'
      for (const socket of open) socket.unpipe().pause()
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
