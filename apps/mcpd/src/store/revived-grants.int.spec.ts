import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { expectStatus, startDaemon, type Sent, type TestDaemon } from '../../../../test/support/daemon'
import { events } from '../../../../test/support/log'
import { Secrets } from '../../../../test/support/secrets'

let daemon: TestDaemon
let numbers = 0

beforeAll(async () => {
  daemon = await startDaemon()
  expectStatus(200, await daemon.send('/api/v1/apply', { body: { users: [{ name: 'alice' }] } }))
}, 60_000)
afterAll(() => daemon.close())

const newName = () => `project-${String(++numbers)}`
const grant = async (name: string, project: string) => {
  const bindings = [{ role: 'edit', resource: 'projects', name: project }]
  const rbac = [{ name, subjects: [{ kind: 'User', name: 'alice' }], bindings }]
  expectStatus(200, await daemon.send('/api/v1/apply', { body: { rbac } }))
}
const make = async (
  name: string,
  query = '',
  sent: Sent = {},
  as: typeof daemon.send = (path, more) => daemon.send(path, more),
) => expectStatus(201, await as(`/api/v1/projects${query}`, { ...sent, body: { name } }))
const remove = async (name: string) =>
  expectStatus(200, await daemon.send(`/api/v1/projects/${name}`, { method: 'DELETE' }))
const revived = async (name: string) =>
  (await events(daemon)).filter(
    ({ type, data }) => type === 'GrantRevived' && (data as { object?: { name: string } }).object?.name === name,
  )
/** A project that was there before its grant, and is gone since. */
const goneProject = async (): Promise<string> => {
  const name = newName()
  await make(name)
  await grant(`of-${name}`, name)
  await remove(name)
  return name
}

describe('an object that is made again', () => {
  it('brings grants on its name to life: that is told in the log, and to who may see the grants', async () => {
    const name = await goneProject()
    const { headers, text } = await make(name)
    expect(headers.get('warning')).toContain(`1 grant to life again: binding of-${name} edit:projects:${name}`)
    const [event, ...others] = await revived(name)
    expect(others).toEqual([])
    const { metadata } = JSON.parse(text) as { metadata: { uid: string } }
    expect(event?.data).toMatchObject({
      rbac: { name: `of-${name}` },
      entry: { role: 'edit', resource: 'projects', name },
      object: { kind: 'projects', name, uid: metadata.uid },
      granted: { by: 'admin' },
    })
    expect(event?.meta.actor.name).toBe('admin')
  })

  it('does so once: a grant that an object has borne since is not revived by the next reading of it', async () => {
    const name = await goneProject()
    await make(name)
    const { headers } = expectStatus(
      200,
      await daemon.send('/api/v1/apply', { body: { projects: [{ name, description: 'changed' }] } }),
    )
    expect(headers.get('warning')).toBeNull()
    expect(await revived(name)).toHaveLength(1)
  })

  it('does so in an apply of many, each for itself', async () => {
    const [one, two, fresh] = [await goneProject(), await goneProject(), newName()]
    const body = { projects: [one, two, fresh].map((name) => ({ name })) }
    const { headers } = expectStatus(200, await daemon.send('/api/v1/apply', { body }))
    const warning = headers.get('warning') ?? ''
    expect([one, two, fresh].map((name) => warning.includes(`"${name}"`) || warning.includes(`'${name}'`))).toEqual([
      true,
      true,
      false,
    ])
    expect([await revived(one), await revived(two), await revived(fresh)].map(({ length }) => length)).toEqual([
      1, 1, 0,
    ])
  })

  it('does not when it is only tried, but warns', async () => {
    const name = await goneProject()
    const { headers } = await make(name, '?dryRun=All')
    expect(headers.get('warning')).toContain(`binding of-${name}`)
    expect(await revived(name)).toEqual([])
  })

  it('tells nothing to who may not see the grants, and the log all the same', async () => {
    const name = await goneProject()
    const eve = await new Secrets(daemon).user('eve', ['create:projects', 'view:projects'])
    const { headers } = await make(name, '', {}, eve)
    expect(headers.get('warning')).toBeNull()
    expect((await revived(name)).map(({ meta }) => meta.actor.name)).toEqual(['eve'])
  })
})

describe('a grant that precedes its object', () => {
  it('is what somebody wanted: nothing is told', async () => {
    const name = newName()
    await grant(`of-${name}`, name)
    const { headers } = await make(name)
    expect([headers.get('warning'), await revived(name)]).toEqual([null, []])
  })

  it('also when an object of that name was gone before the grant was given', async () => {
    const name = newName()
    await make(name)
    await remove(name)
    await grant(`of-${name}`, name)
    const { headers } = await make(name)
    expect([headers.get('warning'), await revived(name)]).toEqual([null, []])
  })
})
