import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { expectStatus, type Received, type TestDaemon } from './daemon'

/** Good enough for everybody. */
export const goodPassword = 'a walk on the moon 7'

let made = 0
let addresses = 0

// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the caller knows what the route answers
export const bodyOf = <T>({ text: body }: { text: string }): T => JSON.parse(body) as T

export const bearing = (token: string) => ({ authorization: `Bearer ${token}` })
export const nobody = { authorization: '' }

/** An address of this machine that nobody has used before. */
export const newAddress = (): string => {
  addresses++
  return `127.0.${String(10 + Math.floor(addresses / 250))}.${String(1 + (addresses % 250))}`
}

export interface Login {
  user: string
  password: string
  /** Where it comes from; an address of its own unless told. */
  from?: string
}

/** Logs in over a connection of its own. */
export const logIn = async (daemon: TestDaemon, { user, password, from = newAddress() }: Login): Promise<Received> =>
  post(daemon, '/api/v1/login', { body: { user, password }, from })

/** Sends a body without a token, from an address. */
export const post = (
  daemon: TestDaemon,
  path: string,
  { body, from = newAddress() }: { body: unknown; from?: string },
): Promise<Received> =>
  new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, daemon.address),
      { method: 'POST', localAddress: from, agent: false, headers: { 'content-type': 'application/json' } },
      (answer) => {
        const headers = new Headers(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]))
        text(answer).then((read) => resolve({ status: answer.statusCode ?? 0, headers, text: read }), reject)
      },
    )
    outgoing.on('error', reject)
    outgoing.end(JSON.stringify(body))
  })

/** The token of a new session. */
export const sessionOf = async (daemon: TestDaemon, user: string, password = goodPassword): Promise<string> =>
  bodyOf<{ token: string }>(expectStatus(200, await logIn(daemon, { user, password }))).token

/** A one-time code for a user, issued by the administrator. */
export const codeFor = async (daemon: TestDaemon, user: string): Promise<string> =>
  bodyOf<{ code: string }>(expectStatus(200, await daemon.send(`/api/v1/users/${user}/password`, { method: 'POST' })))
    .code

/** A new user with a password, who holds nothing. */
export const newPerson = async (daemon: TestDaemon, password = goodPassword): Promise<string> => {
  const user = `person-${String(++made)}`
  expectStatus(201, await daemon.send('/api/v1/users', { body: { name: user } }))
  const code = await codeFor(daemon, user)
  expectStatus(200, await post(daemon, '/api/v1/setup', { body: { user, code, password } }))
  return user
}

/** Binds entries to a user. */
export const grant = async (daemon: TestDaemon, user: string, entries: object): Promise<void> => {
  const body = { name: `grant-${String(++made)}`, subjects: [{ kind: 'User', name: user }], ...entries }
  expectStatus(201, await daemon.send('/api/v1/rbac', { body }))
}

/** Enables or disables a user. */
export const setEnabled = async (daemon: TestDaemon, user: string, enabled: boolean): Promise<void> => {
  expectStatus(200, await daemon.send('/api/v1/apply', { body: { users: [{ name: user, enabled }] } }))
}
