import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Condition, ResourceObject } from '@mcpctl/contracts'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { until } from '../../../test/support/binaries'
import { Caller } from '../../../test/support/caller'
import { expectStatus, listOf, objectOf, problemOf, startDaemon, type TestDaemon } from '../../../test/support/daemon'
import { inputsPackage, installInputs } from '../../../test/support/inputs-package'
import { exchange, initialize } from '../../../test/support/mcp-exchange'
import { Secrets } from '../../../test/support/secrets'

let directory: string
let daemon: TestDaemon
let secrets: Secrets
let count = 0

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'server-secrets-'))
  await installInputs(join(directory, 'instances', 'packages'))
  daemon = await startDaemon({ leads: true, dataDirectory: directory })
  secrets = new Secrets(daemon)
}, 120_000)
afterAll(async () => {
  await daemon.close()
  await rm(directory, { recursive: true, force: true })
}, 60_000)

const envOf = (name: string, secret: string, key: string, more: object = {}) => ({
  name,
  valueFrom: { secretRef: { name: secret, key, ...more } },
})
const serverOf = (name: string, spec: object) => ({ name, package: inputsPackage, ...spec })

const sealedServer = serverOf('sealed', { env: [envOf('TOKEN', 'sealed', 'token')] })

const createServer = async (spec: object): Promise<string> => {
  const name = `inputs-${String(++count)}`
  expectStatus(201, await daemon.send('/api/v1/servers', { body: serverOf(name, spec) }))
  return name
}
const get = async (path: string) => objectOf(expectStatus(200, await daemon.send(`/api/v1/${path}`)))
const instancesOf = async (server: string): Promise<ResourceObject[]> =>
  listOf(expectStatus(200, await daemon.send(`/api/v1/instances?fieldSelector=spec.server=${server}`))).items
const conditionOf = ({ status }: ResourceObject, type: string): Condition | undefined =>
  (status['conditions'] as Condition[] | undefined)?.find((condition) => condition.type === type)

const available = (name: string) =>
  until(`${name} is available`, async () => {
    const { metadata, spec, status } = await get(`servers/${name}`)
    const isSeen = status['observedGeneration'] === metadata.generation
    return isSeen && status['phase'] === 'Running' && status['availableReplicas'] === spec['replicas']
  })

/** Calls a tool through the gateway. */
const call = async (server: string, tool: string, given: object = {}): Promise<string> => {
  const caller = new Caller(daemon.address, daemon.token)
  const { session } = await initialize(caller, `servers/${server}`)
  const params = { name: tool, arguments: given }
  const { body } = await exchange(caller, `servers/${server}`, { id: 2, method: 'tools/call', params }, session)
  return body.result?.content?.[0]?.text ?? JSON.stringify(body)
}
const envSeenBy = async (server: string) => JSON.parse(await call(server, 'get-env')) as Record<string, string>
const fileSeenBy = async (server: string, path: string) => {
  const seen = JSON.parse(await call(server, 'get-file', { path })) as { mode: string; content: string }
  return { mode: seen.mode, content: Buffer.from(seen.content, 'base64') }
}

/** What the instance that waits says of itself, once it does. */
const waiting = (server: string) =>
  until(`an instance of ${server} waits`, async () => {
    const [instance] = await instancesOf(server)
    const ready = instance && conditionOf(instance, 'Ready')
    return instance?.status['lastFailure'] && ready ? { phase: instance.status['phase'], ...ready } : undefined
  })

describe('a server that takes values from secrets', () => {
  it('has them in its environment and in files, byte for byte, and shows references only', async () => {
    const token = secrets.value()
    const der = randomBytes(300)
    const data = { token, lines: 'a\nb\n', 'tls.der': { value: der.toString('base64'), binary: true } }
    const { name: secret } = (await secrets.create(data)).metadata
    const name = await createServer({
      env: [{ name: 'LOG', value: 'info' }, envOf('TOKEN', secret, 'token'), envOf('LINES', secret, 'lines')],
      secretFiles: [{ secret, key: 'tls.der' }],
    })
    await available(name)
    const env = await envSeenBy(name)
    expect(env).toMatchObject({ LOG: 'info', TOKEN: token, LINES: 'a\nb\n' })
    expect(await fileSeenBy(name, env['TLS_DER_FILE'] ?? '')).toEqual({ mode: '400', content: der })

    const server = await get(`servers/${name}`)
    expect(server.spec['env']).toContainEqual(envOf('TOKEN', secret, 'token'))
    expect(server.spec['secretFiles']).toEqual([
      { secret, key: 'tls.der', path: '/run/secrets/tls.der', env: 'TLS_DER_FILE' },
    ])
    expect(conditionOf(server, 'SecretsReady')).toMatchObject({ status: 'True', reason: 'AsExpected' })
    expect(await secrets.get(secret)).toMatchObject({ referencedBy: { servers: [name] } })
    const [instance] = await instancesOf(name)
    expect(instance?.spec['secrets']).toMatchObject({ [secret]: { version: 1 } })
    expect(await secrets.leaks()).toEqual([])
  }, 90_000)

  it('has the version that is pinned, and goes without what is optional and not there', async () => {
    const [old, current] = [secrets.value(), secrets.value()]
    const { name: secret } = (await secrets.create({ token: old })).metadata
    expectStatus(200, await secrets.replace(secret, { token: current }))
    const name = await createServer({
      env: [
        envOf('OLD', secret, 'token', { version: 1 }),
        envOf('CURRENT', secret, 'token'),
        envOf('A', secret, 'absent', { optional: true }),
        envOf('B', 'no-such-secret', 'token', { optional: true }),
      ],
    })
    await available(name)
    const env = await envSeenBy(name)
    expect(env).toMatchObject({ OLD: old, CURRENT: current })
    expect([env['A'], env['B']]).toEqual([undefined, undefined])
  }, 90_000)

  it('waits for a secret that is not there, says which, and runs by itself once it is', async () => {
    const secret = secrets.unusedName()
    const name = await createServer({ env: [envOf('TOKEN', secret, 'token')] })
    const message = `secret "${secret}" not found`
    expect(await waiting(name)).toMatchObject({ phase: 'CreateConfigError', reason: 'CreateConfigError', message })
    await until('the server says so', async () => {
      const server = await get(`servers/${name}`)
      return conditionOf(server, 'SecretsReady')?.message === message && server.status['phase'] === 'CreateConfigError'
    })
    const before = await until('its next try is far off', async () => {
      const [instance] = await instancesOf(name)
      return Date.parse(String(instance?.status['nextStartAt'])) - Date.now() > 3_000 && instance
    })
    const token = secrets.value()
    expectStatus(201, await daemon.send('/api/v1/secrets', { body: { name: secret, data: { token } } }))
    await available(name)
    expect(await envSeenBy(name)).toMatchObject({ TOKEN: token })
    expect(conditionOf(await get(`servers/${name}`), 'SecretsReady')).toMatchObject({ status: 'True' })
    // Not the one that waits ever longer between its tries: another, at once.
    const staying = (await instancesOf(name)).filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    expect(staying.map(({ metadata }) => metadata.uid)).not.toContain(before.metadata.uid)
  }, 90_000)

  it('waits for a key that is not there, names both, and runs by itself once it is', async () => {
    const { name: secret } = (await secrets.create({ token: secrets.value(), pem: secrets.value() })).metadata
    const name = await createServer({ env: [], secretFiles: [{ secret, key: 'tokne' }] })
    expect(await waiting(name)).toMatchObject({
      phase: 'CreateConfigError',
      message: expect.stringMatching(
        new RegExp(`^secret "${secret}" has no key "tokne"; it has (token, pem|pem, token)$`),
      ),
    })
    const tokne = secrets.value()
    expectStatus(200, await secrets.replace(secret, { token: { keep: true }, tokne }))
    await available(name)
    const { TOKNE_FILE = '' } = await envSeenBy(name)
    expect((await fileSeenBy(name, TOKNE_FILE)).content.toString()).toBe(tokne)
  }, 90_000)

  it('says of bytes that are no text that they cannot stand in a variable', async () => {
    const { name: secret } = (await secrets.create({ key: { value: '/wD+', binary: true } })).metadata
    const name = await createServer({ env: [envOf('KEY', secret, 'key')] })
    expect((await waiting(name)).message).toBe(
      `key "key" of secret "${secret}" is binary and cannot stand in variable KEY; use secretFiles`,
    )
  }, 60_000)

  it('waits while the key-encryption key is away, says so, and runs once it is back', async () => {
    // This one has the key and leads nothing; the one that leads comes without it.
    const keyed = await startDaemon()
    const own = await mkdtemp(join(directory, 'keyless-'))
    const kekFile = join(own, 'kek')
    const leading = await startDaemon({
      leads: true,
      database: keyed.database,
      dataDirectory: own,
      kekFile,
      hasContext: false,
    })
    try {
      await symlink(join(directory, 'instances', 'packages'), join(own, 'instances', 'packages'))
      const body = { secrets: [{ name: 'sealed', data: { token: secrets.value() } }], servers: [sealedServer] }
      expectStatus(200, await keyed.send('/api/v1/apply', { body }))
      const shown = async () => objectOf(expectStatus(200, await keyed.send('/api/v1/servers/sealed')))
      await until('the server says so', async () => {
        const condition = conditionOf(await shown(), 'SecretsReady')
        const [instance] = listOf(expectStatus(200, await keyed.send('/api/v1/instances'))).items
        return (
          condition?.status === 'False' &&
          condition.reason === 'SecretUndecryptable' &&
          condition.message.includes(kekFile) &&
          instance?.status['phase'] === 'SecretUndecryptable'
        )
      })
      await copyFile(keyed.parts.config.kekFile, kekFile)
      await until('it runs', async () => (await shown()).status['phase'] === 'Running')
    } finally {
      await leading.close()
      await keyed.close()
    }
  }, 120_000)

  it('leaves no file of it behind, and none of its values in any log', async () => {
    const token = secrets.value()
    const { name: secret } = (await secrets.create({ token })).metadata
    const name = await createServer({
      env: [envOf('TOKEN', secret, 'token')],
      secretFiles: [{ secret, key: 'token' }],
    })
    await available(name)
    const { TOKEN_FILE = '' } = await envSeenBy(name)
    expect(existsSync(TOKEN_FILE)).toBe(true)
    await call(name, 'log-env', { name: 'TOKEN' })
    const logs = await until('the line', async () => {
      const { text } = expectStatus(200, await daemon.send(`/api/v1/servers/${name}/logs`))
      return text.includes('TOKEN is') && text
    })
    expect(logs).toContain('TOKEN is ***')
    expect(logs).not.toContain(token.slice(0, 8))
    expectStatus(202, await daemon.send(`/api/v1/servers/${name}`, { method: 'DELETE' }))
    await until('it is gone', async () => (await daemon.send(`/api/v1/servers/${name}`)).status === 404)
    expect(existsSync(dirname(dirname(TOKEN_FILE)))).toBe(false)
    expect(await secrets.leaks()).toEqual([])
  }, 90_000)
})

describe('the author of a server', () => {
  const refused = (secret: string) =>
    `using a secret in a server needs role run on it; you may not run secrets "${secret}"`

  it('needs run on every secret that it names, whether there is such a secret or not', async () => {
    const { name: mine } = (await secrets.create({ token: secrets.value() })).metadata
    const { name: theirs } = (await secrets.create({ token: secrets.value() })).metadata
    const send = await secrets.user('author', ['create:servers', 'edit:servers', 'view:servers', `run:secrets:${mine}`])
    const bodyOf = (...names: string[]) =>
      serverOf('of-author', { replicas: 0, env: names.map((secret, at) => envOf(`V${String(at)}`, secret, 'token')) })
    for (const secret of [theirs, 'no-such-secret']) {
      const problem = problemOf(expectStatus(403, await send('/api/v1/servers', { body: bodyOf(mine, secret) })))
      expect(problem).toMatchObject({ reason: 'SecretUse', detail: refused(secret) })
    }
    const body = bodyOf(mine)
    expectStatus(201, await send('/api/v1/servers', { body }))

    const put = (changed: object) =>
      send('/api/v1/servers/of-author', { method: 'PUT', body: changed, headers: { 'if-match': '*' } })
    expectStatus(403, await put(bodyOf(mine, theirs)))
    expectStatus(403, await put({ ...body, env: [], secretFiles: [{ secret: theirs, key: 'token' }] }))
    expectStatus(403, await send('/api/v1/apply', { body: { servers: [bodyOf(theirs)] } }))
    expectStatus(200, await put({ ...body, labels: { team: 'core' } }))
  }, 60_000)

  it('may change what does not touch the secrets of others, and nothing of what starts with them', async () => {
    const { name: theirs } = (await secrets.create({ token: secrets.value() })).metadata
    const send = await secrets.user('scaler', ['edit:servers', 'view:servers'])
    const name = await createServer({ replicas: 0, env: [envOf('TOKEN', theirs, 'token')] })
    const put = (changed: object) =>
      send(`/api/v1/servers/${name}`, {
        method: 'PUT',
        body: serverOf(name, { replicas: 0, env: [envOf('TOKEN', theirs, 'token')], ...changed }),
        headers: { 'if-match': '*' },
      })
    expectStatus(200, await put({ labels: { team: 'core' } }))
    // Other arguments make the program do other things with what it is given.
    const problem = problemOf(expectStatus(403, await put({ args: ['--print-environment'] })))
    expect(problem.detail).toBe(refused(theirs))
  }, 60_000)
})
