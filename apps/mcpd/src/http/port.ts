import { createServer } from 'node:net'

const USUAL = 7777

/** The port to listen on: the one asked for, else the usual one, else any free one. */
export const choosePort = async (host: string, asked: number | undefined): Promise<number> =>
  asked ?? ((await isFree(host, USUAL)) ? USUAL : 0)

const isFree = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => {
      resolve(false)
    })
    probe.listen({ host, port, exclusive: true }, () => {
      probe.close(() => {
        resolve(true)
      })
    })
  })
