import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { Cli } from './cli'
import { problem, TestDaemon } from './daemon'
import { secret } from './objects'

const canary = 'c4n4ry-value-of-a-secret'

describe('create secret', () => {
  const daemon = new TestDaemon()
  const cli = new Cli()
  const directory = mkdtempSync(join(tmpdir(), 'mcpctl-secret-'))
  const token = join(directory, 'token')

  beforeAll(async () => {
    cli.use(await daemon.start())
    writeFileSync(token, canary)
    writeFileSync(join(directory, 'env'), `A=${canary}\nB=2\n`)
  })
  afterAll(async () => {
    await daemon.stop()
    cli.remove()
    rmSync(directory, { recursive: true })
  })
  beforeEach(() => {
    daemon.route = ({ method, body }) => {
      if (method !== 'POST') return undefined
      const { name, data } = body as { name: string; data: object }
      const kept = Object.fromEntries(Object.keys(data).map((key) => [key, { keep: true }]))
      return { status: 201, body: secret(name, { spec: { data: kept } }) }
    }
    daemon.requests.length = 0
  })

  it('sends what the flags name, and prints no value of it', async () => {
    const line = ['create', 'secret', 'gh', '--from-file', `token=${token}`, '--from-env-file', join(directory, 'env')]
    const more = ['--from-stdin', 'pem', '--history-limit', '3', '-l', 'team=core', '--annotation', 'a=b']
    const answer = await cli.run([...line, ...more, '-v', '9'], { input: Buffer.from([0xff, 0x0a]) })
    expect(answer).toEqual({
      code: 0,
      out: 'secret/gh created\n',
      err: expect.stringMatching(/^POST \S+ 201 in \d+ ms\n$/) as unknown,
    })
    expect(daemon.requests.map(({ body }) => body)).toEqual([
      {
        name: 'gh',
        labels: { team: 'core' },
        annotations: { a: 'b' },
        historyLimit: 3,
        data: { token: canary, A: canary, B: '2', pem: { value: '/w==', binary: true } },
      },
    ])
  })

  it("takes kubectl's word for the only type of secret there is", async () => {
    expect((await cli.type(`create secret generic gh --from-file ${token}`)).out).toBe('secret/gh created\n')
    expect((await cli.type(`create secret generic --from-file ${token}`)).out).toBe('secret/generic created\n')
    const typed = await cli.type(`create secret tls gh --from-file ${token}`)
    expect(typed).toMatchObject({ code: 2, out: '' })
    expect(typed.err).toContain('exactly one NAME is required, got 2')
  })

  it.each(['yaml', 'json'])('prints that values are kept, and none of them: -o %s', async (format) => {
    for (const mode of ['', '=client', '=server']) {
      const line = `create secret gh --from-file ${token} -o ${format}`
      const { code, out, err } = await cli.type(`${line}${mode === '' ? '' : ` --dry-run${mode}`} -v 9`)
      expect(code).toBe(0)
      expect(out).toMatch(/keep"?: true/)
      expect(out + err).not.toContain(canary)
    }
    expect(daemon.requests.map(({ query }) => query.get('dryRun'))).toEqual([null, 'All'])
  })

  it('reads nothing that a dry run does not need', async () => {
    const { code, out } = await cli.type('create secret gh --prompt token --dry-run -o yaml')
    expect({ code, out }).toEqual({
      code: 0,
      out: 'secrets:\n  - name: gh\n    data:\n      token:\n        keep: true\n',
    })
  })

  it('asks for a value, which does not show', async () => {
    const { code, out, err } = await cli.type('create secret gh --prompt token', { answer: canary })
    expect({ code, out }).toEqual({ code: 0, out: 'secret/gh created\n' })
    expect(err).toContain('Value of token: ')
    expect(err).not.toContain(canary)
    expect(daemon.requests[0]?.body).toMatchObject({ data: { token: canary } })
  })

  it('tells who types a value where others see it, and of white space at its ends', async () => {
    const line = ['create', 'secret', 'gh', '--from-literal', `token= ${canary}`]
    const typed = await cli.run(line, { terminal: true })
    expect(typed.err).toContain('Warning: other users of this machine can see the value of --from-literal')
    expect(typed.err).toContain('Warning: the value of "token" begins or ends with white space, which is kept')
    expect(typed.err).not.toContain(canary)
    expect(daemon.requests[0]?.body).toMatchObject({ data: { token: ` ${canary}` } })
    const piped = await cli.run(['create', 'secret', 'gh', '--from-literal', `token=${canary}`])
    expect(piped.err).toBe('')
  })

  it.each([
    ['create secret', 'exactly one NAME is required, got 0'],
    ['create secret gh', 'a secret needs a value'],
    [`create secret gh --from-literal ${canary}`, '--from-literal: write KEY=VALUE'],
    [`create secret gh --from-literal a/b=${canary}`, '--from-literal: invalid key'],
    [`create secret gh --from-file k=${canary}`, 'the file for key "k" does not exist'],
    [`create secret gh --from-literal k=${canary} --from-literal k=x`, '--from-literal names the key "k" twice'],
    [`create secret gh --from-stdin k --prompt k`, 'the key "k" is named twice'],
    [`create secret gh --from-literal k=${canary} --history-limit many`, '--history-limit'],
    [`create secret gh --from-literl k=${canary}`, 'did you mean --from-literal?'],
    [`create secret gh --from-literal=k=${canary} --from-stdin`, '--from-stdin'],
  ])('%s is refused before anything is sent', async (line, text) => {
    const { code, out, err } = await cli.type(line, { input: canary })
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toContain(text)
    expect(err).not.toContain(canary)
    expect(daemon.requests).toEqual([])
  })

  it('says whose value was refused, and where that was given', async () => {
    daemon.route = () =>
      problem(422, 'Invalid', 'invalid', {
        kind: 'Secret',
        name: 'gh',
        errors: [{ pointer: '/data', code: 'data', message: 'token: is a mask, not a value' }],
      })
    const { code, err } = await cli.type(`create secret gh --from-file ${token} -v 9`)
    expect(code).toBe(7)
    expect(err).toContain('token: is a mask, not a value')
    expect(err).not.toContain(canary)
  })
})
