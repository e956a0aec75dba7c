import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { undo, until } from '../../support/binaries'
import { throughMcplocal } from '../../support/mcp-clients'
import { Sandbox } from '../../support/mcpd-process'
import { copies } from '../world'
import { Engine, everythingImage } from './engine'

describe('an engine that dies', () => {
  let engine: Engine
  let sandbox: Sandbox
  let storeId: string
  const cleanUps: (() => Promise<unknown>)[] = []
  beforeAll(async () => {
    engine = await Engine.ofItsOwn()
    cleanUps.push(() => engine.remove())
    sandbox = await Sandbox.create({ driver: 'auto', env: { DOCKER_HOST: engine.host ?? '' } })
    cleanUps.push(() => sandbox.remove())
    await sandbox.start()
    storeId = (await sandbox.api().status()).store.id
    cleanUps.push(() => engine.clear(storeId))
    cleanUps.push(() => sandbox.mcpctl('down', '--all'))
    await apply(2)
    await engine.converged(sandbox)
  }, 240_000)
  afterAll(() => undo(cleanUps), 120_000)

  const apply = (replicas: number) =>
    sandbox.api().apply({
      servers: [{ name: 'app', image: everythingImage, transport: 'stdio', replicas }],
      projects: [{ name: 'team', servers: ['app'] }],
    })
  const phases = async () => (await copies(sandbox, 'app')).map(({ status }) => status['phase'])

  it('leaves the containers running; they are unknown until it is back, and none starts anew', async () => {
    const before = await engine.ids(storeId)
    const client = await throughMcplocal(sandbox, 'team')
    await client.call('app__echo', { message: 'before' })
    await engine.kill()
    try {
      await until('the copies are unknown', async () => (await phases()).every((phase) => phase === 'Unknown'))
      await until('and so is their server', async () => /^app +.* Unknown /m.test(await sandbox.must('get', 'servers')))
      expect(await sandbox.must('status')).toMatch(/^docker +no /m)
    } finally {
      engine.bringUp()
    }
    await engine.converged(sandbox)
    expect(await engine.ids(storeId)).toEqual(before)
    expect((await copies(sandbox, 'app')).map(({ status }) => status['restarts'])).toEqual([0, 0])
    const answer = await until('tools answer again', () => client.call('app__echo', { message: 'after' }))
    expect(answer).toBe('Echo: after')
    await client.close()
  }, 150_000)

  it('lets changes wait for it', async () => {
    await engine.kill()
    try {
      await apply(4)
      expect((await sandbox.mcpctl('wait', '--for=condition=Available', 'server/app', '--timeout=2s')).code).toBe(8)
    } finally {
      engine.bringUp()
    }
    await engine.converged(sandbox)
  }, 150_000)

  it('at the same time as mcpd, changes nothing either', async () => {
    const before = await engine.ids(storeId)
    await Promise.all([engine.kill(), sandbox.end('SIGKILL')])
    await sandbox.start()
    expect(await sandbox.must('status')).toMatch(/^docker +no /m)
    engine.bringUp()
    await engine.converged(sandbox)
    expect(await engine.ids(storeId)).toEqual(before)
  }, 150_000)
})
