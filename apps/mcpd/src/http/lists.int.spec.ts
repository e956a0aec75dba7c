import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import {
  expectStatus,
  listOf,
  objectOf,
  problemOf,
  startDaemon,
  type TestDaemon,
} from '../../../../test/support/daemon'

let daemon: TestDaemon

const names = Array.from({ length: 25 }, (_, i) => `s${String(i).padStart(2, '0')}`)

beforeAll(async () => {
  daemon = await startDaemon()
  const servers = names.map((name, i) => ({
    name,
    package: `npm:echo@1.0.${String(i % 2)}`,
    labels: { nr: String(i), ...(i % 2 === 0 && { parity: 'even' }), ...(i % 5 === 0 && { 'example.com/five': '' }) },
  }))
  expectStatus(
    200,
    await daemon.send('/api/v1/apply', { body: { servers, projects: [{ name: 'web', servers: ['s01'] }] } }),
  )
}, 60_000)
afterAll(() => daemon.close())

const list = async (query: Record<string, string>) =>
  listOf(expectStatus(200, await daemon.send(`/api/v1/servers?${new URLSearchParams(query).toString()}`)))
const named = async (query: Record<string, string>) => (await list(query)).items.map(({ metadata }) => metadata.name)
const numbered = (chosen: (i: number) => boolean) => names.filter((_, i) => chosen(i))

/** Follows the pages to the end, doing something between each two. */
const paged = async (query: Record<string, string>, between: (page: number) => Promise<unknown>) => {
  const seen = []
  let token: string | undefined
  for (let page = 0; page === 0 || token !== undefined; page++) {
    const { items, metadata } = await list({ ...query, ...(token !== undefined && { continue: token }) })
    seen.push(...items)
    token = metadata.continue
    await between(page)
  }
  return seen
}

describe('a selector of labels', () => {
  it.each<[string, (i: number) => boolean]>([
    ['nr=3', (i) => i === 3],
    ['nr==3', (i) => i === 3],
    ['nr!=3', (i) => i !== 3],
    ['parity=even', (i) => i % 2 === 0],
    ['parity!=even', (i) => i % 2 === 1],
    ['parity', (i) => i % 2 === 0],
    ['!parity', (i) => i % 2 === 1],
    ['parity=even,nr!=4', (i) => i % 2 === 0 && i !== 4],
    [' parity = even'.replaceAll(' ', ''), (i) => i % 2 === 0],
    ['example.com/five', (i) => i % 5 === 0],
    ['example.com/five=', (i) => i % 5 === 0],
    ['nr=', () => false],
    ['missing=', () => false],
    ['nr=99', () => false],
    ['', () => true],
  ])('%s', async (labelSelector, chosen) => {
    expect(await named({ labelSelector })).toEqual(numbered(chosen))
  })

  it.each(['=a', 'a=b=', 'a b', '!a=b', 'a>3', "a'--", 'a in (b)'])(
    'that is none is refused: %s',
    async (labelSelector) => {
      const answer = await daemon.send(`/api/v1/servers?${new URLSearchParams({ labelSelector }).toString()}`)
      expect([labelSelector, answer.status === 400 || listOf(answer).items.length === 0]).toEqual([labelSelector, true])
    },
  )
})

describe('a selector of fields', () => {
  it.each<[string, (i: number) => boolean]>([
    ['metadata.name=s03', (i) => i === 3],
    ['metadata.name!=s03', (i) => i !== 3],
    ['spec.package=npm:echo@1.0.1', (i) => i % 2 === 1],
    ['spec.transport=stdio,metadata.name=s04', (i) => i === 4],
    ['spec.image=a', () => false],
    ['spec.image!=a', () => true],
    ['status.phase=Progressing', () => true],
    ['status.phase=Running', () => false],
  ])('%s', async (fieldSelector, chosen) => {
    expect(await named({ fieldSelector })).toEqual(numbered(chosen))
  })

  it('finds by uid', async () => {
    const { uid } = objectOf(await daemon.send('/api/v1/servers/s07')).metadata
    expect(await named({ fieldSelector: `metadata.uid=${uid}` })).toEqual(['s07'])
  })

  it('that is not supported is refused with those that are', async () => {
    const refused = await daemon.send('/api/v1/servers?fieldSelector=spec.replicas%3D1')
    expect(refused.status).toBe(400)
    expect(problemOf(refused).detail).toContain('use one of metadata.name, metadata.uid, status.phase')
  })

  it('joins one of labels', async () => {
    const query = { fieldSelector: 'spec.package=npm:echo@1.0.0', labelSelector: 'example.com/five' }
    expect(await named(query)).toEqual(numbered((i) => i % 10 === 0))
  })
})

describe('pages', () => {
  it('follow each other without gap or doublet', async () => {
    for (const limit of ['1', '7', '24', '25', '26']) {
      const seen = await paged({ limit }, () => Promise.resolve())
      expect(seen.map(({ metadata }) => metadata.name)).toEqual(names)
    }
  })

  it('show one moment, whatever is written between them', async () => {
    const before = await list({})
    const seen = await paged({ limit: '5' }, async (page) => {
      const nr = String(page)
      await daemon.send('/api/v1/servers', { body: { name: `a-new-${nr}`, package: 'npm:echo@1.0.0' } })
      await daemon.send('/api/v1/servers', { body: { name: `z-new-${nr}`, package: 'npm:echo@1.0.0' } })
      await daemon.send('/api/v1/servers/s20/scale', { method: 'PUT', body: { spec: { replicas: page + 2 } } })
      await daemon.send(`/api/v1/servers/s2${nr}`, { method: 'DELETE' })
    })
    expect(seen).toEqual(before.items)
    expect((await list({})).items).toHaveLength(35)
  })

  it('belong to their list', async () => {
    const { metadata } = await list({ limit: '2', labelSelector: 'parity' })
    const token = metadata.continue ?? ''
    const others = [
      `/api/v1/servers?continue=${token}`,
      `/api/v1/servers?labelSelector=nr&continue=${token}`,
      `/api/v1/projects?labelSelector=parity&continue=${token}`,
    ]
    for (const path of others) expect((await daemon.send(path)).status).toBe(410)
  })

  it('that are the last have no token', async () => {
    expect((await list({ limit: '1000' })).metadata.continue).toBeUndefined()
  })
})

describe('a list', () => {
  it('shows who refers to its objects', async () => {
    const { items } = await list({ fieldSelector: 'metadata.name=s01' })
    expect(items[0]?.referencedBy).toEqual({ projects: ['web'] })
    expectStatus(200, await daemon.send('/api/v1/projects/web', { method: 'DELETE' }))
    expect((await list({ fieldSelector: 'metadata.name=s01' })).items[0]?.referencedBy).toBeUndefined()
  })

  it('of a kind that has none is empty', async () => {
    const empty = listOf(await daemon.send('/api/v1/instances'))
    expect(empty).toMatchObject({ kind: 'InstanceList', items: [] })
  })
})
