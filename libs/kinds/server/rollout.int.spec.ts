import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Condition, ResourceObject } from '@mcpctl/contracts'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../../test/support/binaries'
import { Caller } from '../../../test/support/caller'
import { expectStatus, listOf, objectOf, startDaemon, type TestDaemon } from '../../../test/support/daemon'
import { inputsPackage, installInputs } from '../../../test/support/inputs-package'
import { events } from '../../../test/support/log'
import { exchange, initialize } from '../../../test/support/mcp-exchange'
import { Secrets } from '../../../test/support/secrets'

/** Longer than any test: nothing settles by itself here. */
const NEVER_MS = 3_600_000

let directory: string
let daemon: TestDaemon
let secrets: Secrets

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rollout-'))
  await installInputs(join(directory, 'instances', 'packages'))
  daemon = await startDaemon({ leads: true, dataDirectory: directory, secretSettleMs: NEVER_MS })
  secrets = new Secrets(daemon)
}, 120_000)
afterAll(async () => {
  await daemon.close()
  await rm(directory, { recursive: true, force: true })
}, 60_000)

const apply = async (server: Record<string, unknown>) =>
  expectStatus(200, await daemon.send('/api/v1/apply', { body: { servers: [{ package: inputsPackage, ...server }] } }))
const get = async (name: string) => objectOf(expectStatus(200, await daemon.send(`/api/v1/servers/${name}`)))
const live = async (server: string): Promise<ResourceObject[]> =>
  listOf(expectStatus(200, await daemon.send(`/api/v1/instances?fieldSelector=spec.server=${server}`))).items.filter(
    ({ metadata }) => metadata.deletionTimestamp === undefined,
  )
const condition = ({ status }: ResourceObject, type: string): Condition | undefined =>
  (status['conditions'] as Condition[] | undefined)?.find((each) => each.type === type)

const reaches = (name: string, type: string, wanted: Partial<Condition>) =>
  until(`${name} says ${type} ${JSON.stringify(wanted)}`, async () => {
    const found = condition(await get(name), type)
    return found && Object.entries(wanted).every(([field, value]) => found[field as keyof Condition] === value) && found
  })

/** The rollout of this generation has come to its end. */
const complete = (name: string) =>
  until(`${name} is complete`, async () => {
    const server = await get(name)
    const isSeen = server.status['observedGeneration'] === server.metadata.generation
    return isSeen && condition(server, 'Progressing')?.reason === 'RolloutComplete' && server
  })

const envSeenBy = async (server: string) => {
  const caller = new Caller(daemon.address, daemon.token)
  const { session } = await initialize(caller, `servers/${server}`)
  const params = { name: 'get-env', arguments: {} }
  const { body } = await exchange(caller, `servers/${server}`, { id: 2, method: 'tools/call', params }, session)
  return JSON.parse(body.result?.content?.[0]?.text ?? '') as Record<string, string>
}

/** How many instances of a server were live and how many ready at each moment since, as the log has it. */
const course = async (server: ResourceObject) => {
  const ready = new Set<string>()
  const alive = new Set<string>()
  const seen: { type: string; ready: number; alive: number }[] = []
  const mine = new Set<string>()
  for (const { type, streamId, data } of await events(daemon)) {
    const scheduled = (data as { server?: { uid: string } }).server?.uid
    if (type === 'InstanceScheduled' && scheduled === server.metadata.uid) mine.add(streamId)
    if (!mine.has(streamId)) continue
    if (type === 'InstanceScheduled') alive.add(streamId)
    if (type === 'InstanceReady') ready.add(streamId)
    if (['InstanceDraining', 'InstanceExited', 'InstanceUnready', 'InstanceStopped'].includes(type))
      ready.delete(streamId)
    if (type === 'InstanceStopped') alive.delete(streamId)
    seen.push({ type, ready: ready.size, alive: alive.size })
  }
  return seen
}

const colour = (value: string) => ({ env: [{ name: 'COLOUR', value }] })
/** It ends as soon as it is started. */
const broken = {
  env: [
    { name: 'COLOUR', value: 'red' },
    { name: 'REFUSED', value: 'red' },
  ],
}

describe('a new template', () => {
  it.each([
    ['one more first', 'surging', { maxSurge: 1, maxUnavailable: 0 }, { least: 3, most: 4 }],
    ['two at a time', 'faster', { maxSurge: 2, maxUnavailable: 1 }, { least: 2, most: 5 }],
    ['none more', 'in-place', { maxSurge: 0, maxUnavailable: 1 }, { least: 2, most: 3 }],
    ['as few as may be: one', 'hasty', { maxSurge: 0, maxUnavailable: 3 }, { least: 1, most: 3 }],
  ])(
    'is rolled out with %s',
    async (_, name, strategy, { least, most }) => {
      await apply({ name, replicas: 3, strategy, ...colour('one') })
      const server = await complete(name)
      const before = (await course(server)).length
      await apply({ name, replicas: 3, strategy, ...colour('two') })
      await complete(name)
      expect(await envSeenBy(name)).toMatchObject({ COLOUR: 'two' })
      const during = (await course(server)).slice(before)
      expect(Math.min(...during.map(({ ready }) => ready))).toBeGreaterThanOrEqual(least)
      expect(Math.max(...during.map(({ alive }) => alive))).toBeLessThanOrEqual(most)
      expect(during.filter(({ type }) => type === 'InstanceScheduled')).toHaveLength(3)
    },
    120_000,
  )

  it('counts an instance only when it has been ready for minReadySeconds', async () => {
    const strategy = { minReadySeconds: 3 }
    await apply({ name: 'careful', replicas: 1, strategy, ...colour('one') })
    await complete('careful')
    await apply({ name: 'careful', replicas: 1, strategy, ...colour('two') })
    const server = await complete('careful')
    const scheduled = (await events(daemon)).filter(
      ({ type, data }) =>
        type === 'InstanceScheduled' && (data as { server: { uid: string } }).server.uid === server.metadata.uid,
    )
    const all = await events(daemon)
    const [old, young] = scheduled.map(({ streamId }) => streamId)
    const at = (stream: string | undefined, wanted: string) =>
      all.find(({ streamId, type }) => streamId === stream && type === wanted)
    const ready = Date.parse((at(young, 'InstanceReady')?.data as { at: string }).at)
    expect(Date.parse(at(old, 'InstanceDraining')?.recordedAt ?? '') - ready).toBeGreaterThanOrEqual(3_000)
  }, 120_000)

  it.each([
    ['the only one', { name: 'lonely', replicas: 1, maxSurge: 1, maxUnavailable: 1, least: 1 }],
    ['the last one', { name: 'bold', replicas: 2, maxSurge: 0, maxUnavailable: 2, least: 1 }],
    ['any', { name: 'usual', replicas: 2, maxSurge: 1, maxUnavailable: 0, least: 2 }],
  ])(
    'that never comes up does not take %s, is stuck after its deadline, and goes on when it is mended',
    async (_, { name, replicas, least, ...limits }) => {
      const strategy = { ...limits, progressDeadlineSeconds: 2 }
      await apply({ name, replicas, strategy, ...colour('one') })
      const server = await complete(name)
      const before = (await course(server)).length
      await apply({ name, replicas, strategy, ...broken })
      await reaches(name, 'Progressing', { status: 'False', reason: 'ProgressDeadlineExceeded' })
      // Where it takes longer to fail than the deadline, that is what is said first.
      await reaches(name, 'Degraded', { status: 'True', reason: 'Error' })
      await reaches(name, 'Available', { status: 'True' })
      expect(await envSeenBy(name)).toMatchObject({ COLOUR: 'one' })
      await apply({ name, replicas, strategy, ...colour('two') })
      expect(await complete(name)).toMatchObject({ status: { phase: 'Running', availableReplicas: replicas } })
      expect(await envSeenBy(name)).toMatchObject({ COLOUR: 'two' })
      const during = (await course(server)).slice(before)
      expect(Math.min(...during.map(({ ready }) => ready))).toBeGreaterThanOrEqual(least)
    },
    120_000,
  )
})

describe('a new version of a secret', () => {
  const using = (secret: string, more: object = {}) => ({
    env: [{ name: 'TOKEN', valueFrom: { secretRef: { name: secret, key: 'token' } } }],
    ...more,
  })
  const rotate = async (secret: string) => {
    const token = secrets.value()
    expectStatus(200, await secrets.replace(secret, { token }))
    return token
  }
  const versions = async (server: string, secret: string) =>
    (await live(server)).map(({ spec }) => (spec['secrets'] as Record<string, { version: number }>)[secret]?.version)
  const uids = async (server: string) => (await live(server)).map(({ metadata }) => metadata.uid).sort()

  /** A server that runs with the first version. */
  const running = async (name: string, more: Record<string, unknown> = {}) => {
    const first = secrets.value()
    const secret = (await secrets.create({ token: first })).metadata.name
    await apply({ name, replicas: 1, ...using(secret, more) })
    await complete(name)
    expect((await envSeenBy(name))['TOKEN']).toBe(first)
    return { secret, first }
  }

  it('and the next before it has settled are rolled out once, and at once when one more is wanted', async () => {
    const { secret } = await running('patient')
    const before = await uids('patient')
    await rotate(secret)
    await reaches('patient', 'SecretStale', { status: 'True', reason: 'SecretRotated' })
    const token = await rotate(secret)
    const message = `secret "${secret}" changed from version 1 to 3; instances are replaced`
    await reaches('patient', 'SecretStale', { status: 'True', message })
    expect(await uids('patient')).toEqual(before)
    await apply({ name: 'patient', replicas: 2, ...using(secret) })
    const server = await complete('patient')
    expect(await versions('patient', secret)).toEqual([3, 3])
    expect((await envSeenBy('patient'))['TOKEN']).toBe(token)
    await reaches('patient', 'SecretStale', { status: 'False' })
    const scheduled = (await course(server)).filter(({ type }) => type === 'InstanceScheduled')
    expect(scheduled).toHaveLength(1 + 2)
  }, 120_000)

  it('restarts nothing with secretRotation Manual: who ends starts again with what it had, a new template takes it', async () => {
    const { secret, first } = await running('manual', { secretRotation: 'Manual' })
    const before = await uids('manual')
    const token = await rotate(secret)
    await reaches('manual', 'SecretStale', {
      status: 'True',
      message: `secret "${secret}" changed from version 1 to 2; instances keep what they have until the template changes`,
    })
    const [instance] = await live('manual')
    process.kill(Number(instance?.status['handle']), 'SIGKILL')
    await until('it runs again', async () => {
      const [again] = await live('manual')
      return again?.status['restarts'] === 1 && again.status['ready'] === true
    })
    expect(await uids('manual')).toEqual(before)
    expect((await envSeenBy('manual'))['TOKEN']).toBe(first)
    const env = [...using(secret).env, { name: 'COLOUR', value: 'two' }]
    await apply({ name: 'manual', replicas: 1, secretRotation: 'Manual', env })
    await complete('manual')
    expect((await envSeenBy('manual'))['TOKEN']).toBe(token)
    await reaches('manual', 'SecretStale', { status: 'False' })
    expect(await secrets.leaks()).toEqual([])
  }, 120_000)
})
