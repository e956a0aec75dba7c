import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { expectStatus, problemOf, startDaemon, type TestDaemon } from '../../../../test/support/daemon'

let daemon: TestDaemon
const strong = 'a walk on the moon 7'

beforeAll(async () => {
  daemon = await startDaemon()
})
afterAll(() => daemon.close())

// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the caller knows what the route answers
const json = <T>({ text }: { text: string }): T => JSON.parse(text) as T
const as = (token: string) => ({ authorization: `Bearer ${token}` })
const nobody = { authorization: '' }
let users = 0

/** A user of one's own, with a password. */
const person = async (password = strong): Promise<string> => {
  const name = `person-${String(++users)}`
  expectStatus(201, await daemon.send('/api/v1/users', { body: { name } }))
  const { code } = json<{ code: string }>(
    expectStatus(200, await daemon.send(`/api/v1/users/${name}/password`, { method: 'POST' })),
  )
  expectStatus(200, await daemon.send('/api/v1/setup', { body: { user: name, code, password }, headers: nobody }))
  return name
}

const login = (user: string, password: string) =>
  daemon.send('/api/v1/login', { body: { user, password }, headers: nobody })

const sessionOf = async (user: string, password = strong): Promise<string> =>
  json<{ token: string }>(expectStatus(200, await login(user, password))).token

describe('a login', () => {
  it('opens a session that works until it is ended', async () => {
    const user = await person()
    const token = await sessionOf(user)
    expect(token).toMatch(/^mcp_ses_/)
    const who = json<{ user: { name: string }; token: { type: string } }>(
      expectStatus(200, await daemon.send('/api/v1/whoami', { headers: as(token) })),
    )
    expect([who.user.name, who.token.type]).toEqual([user, 'ses'])
    expectStatus(200, await daemon.send('/api/v1/logout', { method: 'POST', headers: as(token) }))
    expectStatus(401, await daemon.send('/api/v1/whoami', { headers: as(token) }))
  })

  it('answers the same for a wrong password, an unknown, a disabled and a service user', async () => {
    const user = await person()
    const disabled = await person()
    expectStatus(201, await daemon.send('/api/v1/users', { body: { name: 'robot', type: 'service' } }))
    expectStatus(
      200,
      await daemon.send(`/api/v1/users/${disabled}`, {
        method: 'PUT',
        body: { name: disabled, enabled: false },
        headers: { 'if-match': '*' },
      }),
    )
    const answers = [
      await login(user, 'not the password'),
      await login('no-such-user', strong),
      await login(disabled, strong),
      await login('robot', strong),
    ]
    const told = answers.map((answer) => [answer.status, problemOf(answer).detail])
    expect(new Set(told.map((each) => JSON.stringify(each))).size).toBe(1)
    expect(told[0]?.[0]).toBe(401)
  })
})
