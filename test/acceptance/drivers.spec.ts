import { afterEach, describe, expect, it } from '@jest/globals'
import { Sandbox } from '../support/mcpd-process'
import { memory, rows } from './world'

describe('a server that the chosen driver cannot run', () => {
  let sandbox: Sandbox
  afterEach(() => sandbox.remove(), 60_000)

  it.each([
    {
      driver: 'process' as const,
      server: { name: 'refused', image: 'example.org/any/thing:1.0', transport: 'stdio', replicas: 1 },
      pointer: '/spec/image',
      message: /^not supported by driver process/,
    },
    {
      driver: 'docker' as const,
      server: memory('refused', 1),
      pointer: '/spec/package',
      message: /^not supported by driver docker.*no node image/,
    },
  ])(
    'is refused by mcpd --driver $driver, and neither kept nor run',
    async ({ driver, server, pointer, message }) => {
      // No engine: what is refused is so whether or not one answers.
      sandbox = await Sandbox.create({ driver, env: { DOCKER_HOST: 'unix:///nonexistent/engine.sock' } })
      await sandbox.start()
      const api = sandbox.api()
      const errors = [{ pointer, message: expect.stringMatching(message) }]
      await expect(api.create('servers', server)).rejects.toMatchObject({ problem: { status: 422, errors } })
      const refused = await sandbox.type(JSON.stringify({ servers: [server] }), 'apply', '-f', '-')
      expect(refused.code).not.toBe(0)
      expect(refused.err).toContain(`not supported by driver ${driver}`)
      expect((await api.list('servers')).items).toEqual([])
      expect((await api.list('instances')).items).toEqual([])
      const events = "select type from es.event where category in ('server', 'instance')"
      expect(await rows(sandbox, events)).toEqual([])
      expect((await Sandbox.processes((await api.status()).store.id)).size).toBe(0)
    },
    90_000,
  )
})
