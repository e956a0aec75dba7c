import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { accessCases, type AccessCase } from '../support/access-fixture'
import { requestFor, type Result, type Scene } from '../support/access-requests'
import { AccessWorld } from '../support/access-world'
import { Caller } from '../support/caller'
import { callEcho } from '../support/mcp-exchange'
import { until, type Answer } from '../support/binaries'
import { laterCases } from './access-later'
import { moreCases } from './access-more-cases'

const whoPattern = /^(\w+)(?: \([^)]*\))?(?: token)?(?: --as (\w+))?(?:, token scoped (\S+))?$/

interface Asker {
  name: string
  as?: string
  scope?: string
}

const askerOf = ({ id, who }: AccessCase): Asker => {
  const found = whoPattern.exec(who)
  if (!found) throw new Error(`${id}: nobody is called "${who}"`)
  const [, name = '', as, scope] = found
  return { name, ...(as !== undefined && { as }), ...(scope !== undefined && { scope }) }
}

/** What `mcpctl help exit-codes` says of a status. */
const exitCodes: Record<string, number> = { 400: 2, 401: 4, 403: 5, 404: 3, 405: 2, 409: 6, 422: 7 }

const title = ({ id, who, req, want, why }: AccessCase) => `${id} ${who}: ${req} → ${want} (${why})`
/** `200 [github,slack]` */
const namesIn = ({ want }: AccessCase): string[] => /\[(.+)\]/.exec(want)?.[1]?.split(',') ?? []

const now = [...accessCases.filter(({ id }) => !(id in laterCases)), ...moreCases]
const typed = now.filter((each) => requestFor(each.req, '')?.cli !== undefined)

describe('the shared access cases', () => {
  let world: AccessWorld

  beforeAll(async () => {
    world = await AccessWorld.create()
    for (const name of ['github', 'slack'])
      await until(`${name} answers`, async () => (await callEcho(world.root, `servers/${name}`)).status === 200)
  }, 180_000)
  beforeEach(() => world.restore())
  afterAll(() => world.remove(), 90_000)

  const sceneOf = async (each: AccessCase): Promise<Scene> => {
    const { name, as, scope } = askerOf(each)
    const headers: Record<string, string> = as === undefined ? {} : { 'impersonate-user': as }
    if (name === 'anonymous') return { world, user: name, caller: world.anonymous }
    const token = scope === undefined ? await world.tokenOf(name) : await world.issue(name, { scopes: [scope] })
    return { world, user: name, caller: new Caller(world.server, token, headers) }
  }

  /** Everything listed may be read one by one; nothing that is left out may. */
  const expectExactly = async ({ caller }: Scene, { plural = '', names = [], filtered }: Result) => {
    for (const name of await world.root.names(plural)) {
      const { status } = await caller.get(`/${plural}/${name}`)
      expect({ name, status }).toEqual({ name, status: names.includes(name) ? 200 : 403 })
      if (!names.includes(name)) expect(filtered ?? true).toBe(true)
    }
  }

  it('are all understood: each is a request, or stands in the table of those that wait for something', () => {
    const unknown = [...accessCases, ...moreCases].filter(
      ({ id, req }) => id in laterCases === (requestFor(req, '') !== undefined),
    )
    expect(unknown.map(({ id, req }) => `${id} ${req}`)).toEqual([])
    expect(Object.keys(laterCases).filter((id) => !accessCases.some((each) => each.id === id))).toEqual([])
    expect(now.length + Object.keys(laterCases).length).toBe(accessCases.length + moreCases.length)
  })

  describe('over HTTP', () => {
    it.each(now.map((each) => [title(each), each] as const))('%s', async (_, each) => {
      const scene = await sceneOf(each)
      const request = requestFor(each.req, scene.user)!
      await request.before?.(world)
      const result = await request.http(scene)
      const [status = '', reason] = each.want.split(' ')
      if (status === 'allow') return expect([200, 201, 202, 204]).toContain(result.status)
      if (status !== '200') return expect(result).toMatchObject({ status: Number(status), ...(reason && { reason }) })
      expect(result.status).toBe(200)
      expect(result.names).toEqual(expect.arrayContaining(namesIn(each)))
      await expectExactly(scene, result)
    })
  })

  describe('with mcpctl', () => {
    const type = async (each: AccessCase): Promise<Answer> => {
      const { as } = askerOf(each)
      const scene = await sceneOf(each)
      const request = requestFor(each.req, scene.user)!
      await request.before?.(world)
      const { args, input } = await request.cli!(scene)
      const flags = as === undefined ? [] : ['--as', as]
      return world.mcpctl(scene.caller.token ?? '', [...flags, ...args], input)
    }

    it.each(typed.map((each) => [title(each), each] as const))('%s', async (_, each) => {
      const { code, out, err } = await type(each)
      const [status = '', reason] = each.want.split(' ')
      if (status === 'allow') return expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
      if (status !== '200') {
        expect({ code, err }).toEqual({ code: exitCodes[status], err: expect.any(String) })
        return expect(err).toMatch(new RegExp(reason ?? (status === '403' ? 'forbidden' : ''), 'i'))
      }
      const names = out.split('\n').flatMap((line) => /\/(.+)$/.exec(line)?.[1] ?? [])
      expect(names).toEqual(expect.arrayContaining(namesIn(each)))
      expect(code).toBe(0)
    })
  })

  describe('what will decide those that wait for', () => {
    const later = accessCases.filter(({ id }) => id in laterCases)
    it.each(
      later.map((each) => [`${each.id} ${laterCases[each.id]?.waitsFor}: ${each.who}: ${each.req}`, each] as const),
    )('%s', async (_, each) => {
      const { caller } = await sceneOf(each)
      for (const [ask, allowed] of laterCases[each.id]!.decisions) {
        const { body } = await caller.post<{ allowed: boolean }>('/authz/can-i', ask)
        expect({ ...ask, allowed: body.allowed }).toEqual({ ...ask, allowed })
      }
    })
  })
})
