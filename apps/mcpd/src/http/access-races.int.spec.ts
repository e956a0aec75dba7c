import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import {
  expectStatus,
  objectOf,
  problemOf,
  startDaemon,
  type Received,
  type TestDaemon,
} from '../../../../test/support/daemon'

const ROUNDS = 10
const everything = {
  bindings: ['view', 'create', 'edit', 'delete', 'run'].map((role) => ({ role, resource: '*' })),
  operations: [{ action: '*' }],
}

let first: TestDaemon
let second: TestDaemon

beforeAll(async () => {
  first = await startDaemon()
  second = await startDaemon({ database: first.database })
  await applied({ users: [{ name: 'kim' }, { name: 'rita' }], groups: [{ name: 'team', members: [] }] })
  // Who has been given a code can log in.
  expectStatus(200, await first.send('/api/v1/users/kim/password', { method: 'POST' }))
  const bindings = ['view', 'edit'].map((role) => ({ role, resource: 'groups' }))
  await applied({ rbac: [{ name: 'rita', subjects: [{ kind: 'User', name: 'rita' }], bindings }] })
}, 60_000)
afterAll(async () => {
  await second.close()
  await first.close()
})

const applied = async (body: object): Promise<void> =>
  void expectStatus(200, await first.send('/api/v1/apply', { body }))

const tokenFor = async (user: string): Promise<Record<string, string>> => {
  const { text } = expectStatus(201, await first.send('/api/v1/tokens', { body: { user } }))
  return { authorization: `Bearer ${(JSON.parse(text) as { token: string }).token}` }
}

const kims = { name: 'kims', subjects: [{ kind: 'User', name: 'kim' }], ...everything }

describe('requests at once', () => {
  it('B55 cannot take from each other what only one of them may lose', async () => {
    await applied({ rbac: [kims] })
    const headers = await tokenFor('kim')
    const { spec } = objectOf(await first.send('/api/v1/rbac/admins'))
    for (let round = 0; round < ROUNDS; round++) {
      const answers = await Promise.all([
        first.send('/api/v1/rbac/kims', { method: 'DELETE' }),
        second.send('/api/v1/rbac/admins', { method: 'DELETE', headers }),
      ])
      const [mine, kim] = answers.map(({ status }) => status)
      // Who lost the rights before his own request was judged is refused for that.
      expect([mine, kim].filter((status) => status === 200)).toHaveLength(1)
      expect([403, 409]).toContain([mine, kim].find((status) => status !== 200))
      const refused = answers.find(({ status }) => status === 409)
      if (refused) expect(['LastAdmin', 'Conflict']).toContain(problemOf(refused).reason)
      if (mine === 200) await applied({ rbac: [kims] })
      else
        expectStatus(200, await first.send('/api/v1/apply', { headers, body: { rbac: [{ name: 'admins', ...spec }] } }))
    }
  }, 60_000)

  it('B49 cannot make a grant of a membership that was none when it was judged', async () => {
    const headers = await tokenFor('rita')
    const grant = { rbac: [{ name: 'teams', subjects: [{ kind: 'Group', name: 'team' }], ...everything }] }
    const join = { groups: [{ name: 'team', members: ['rita'] }] }
    for (let round = 0; round < ROUNDS; round++) {
      const [granted, joined] = await Promise.all([
        first.send('/api/v1/apply', { body: grant }),
        second.send('/api/v1/apply', { headers, body: join }),
      ])
      expectStatus(200, granted)
      const position = ({ text }: Received) => BigInt((JSON.parse(text) as { position: string }).position)
      // She may have been there when the administrator granted, but never came after.
      if (joined.status === 200) expect(position(joined)).toBeLessThan(position(granted))
      else expect(problemOf(expectStatus(403, joined)).reason).toBe('Escalation')
      expectStatus(200, await first.send('/api/v1/rbac/teams', { method: 'DELETE' }))
      await applied({ groups: [{ name: 'team', members: [] }] })
    }
  }, 60_000)
})
