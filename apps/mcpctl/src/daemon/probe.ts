import { get } from 'node:http'

const patienceMs = 2000

export interface Probe {
  status: number
  body: string
}

/** One unauthenticated look at a health route; undefined when nothing answers. */
export const probe = (address: string, path: '/healthz' | '/readyz'): Promise<Probe | undefined> =>
  new Promise((resolve) => {
    const request = get(new URL(path, address), { agent: false, timeout: patienceMs }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (body += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', () => resolve(undefined))
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(undefined))
  })
