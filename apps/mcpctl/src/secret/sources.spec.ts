import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { CliError, exit } from '../errors'
import { processIo } from '../io'
import type { Io } from '../io'
import { sourcesOf } from './sources'
import type { ValueFlags } from './sources'
import { hasLooseEnds, isKey, written } from './value'

const canary = 'c4n4ry-value'

describe('the values of a secret', () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'mcpctl-values-'))
    writeFileSync(join(directory, 'token'), `${canary}\n`)
    writeFileSync(join(directory, 'pem'), Buffer.from([0xff, 0x00, 0x0a]))
    writeFileSync(join(directory, 'not a key'), 'x')
    mkdirSync(join(directory, 'below'))
    symlinkSync(join(directory, 'token'), join(directory, 'link'))
    writeFileSync(
      join(directory, 'env'),
      `\ufeff# comment\n\n  A=1\r\nB=with = signs\nC="quoted"\nD=\n # and one more\nE= spaced \n`,
    )
  })
  afterAll(() => rmSync(directory, { recursive: true }))
  const at = (name: string) => join(directory, name)

  const io = (more: Partial<Io> = {}): Io => ({ ...processIo(), env: {}, inIsTerminal: false, ...more })
  const read = async (flags: ValueFlags, more: Partial<Io> = {}) => {
    const found: Record<string, unknown> = {}
    for (const source of sourcesOf(io(more), flags)) found[source.key] = await source.read()
    return found
  }
  const refusal = async (flags: ValueFlags, more: Partial<Io> = {}): Promise<CliError> => {
    try {
      await read(flags, more)
    } catch (error) {
      if (error instanceof CliError) return error
      throw error
    }
    throw new Error('it was not refused')
  }

  it('come from files, byte by byte, under their names or a key', async () => {
    expect(await read({ fromFile: [at('token'), `key=${at('pem')}`] })).toEqual({
      token: `${canary}\n`,
      key: { value: '/wAK', binary: true },
    })
    expect(await read({ fromFile: [directory] })).toEqual({
      env: expect.any(String),
      pem: { value: '/wAK', binary: true },
      token: `${canary}\n`,
    })
  })

  it('come from lines of KEY=VALUE as they are', async () => {
    expect(await read({ fromEnvFile: [at('env')] })).toEqual({
      A: '1',
      B: 'with = signs',
      C: '"quoted"',
      D: '',
      E: ' spaced ',
    })
  })

  it('come from words, with all that stands behind the first sign', async () => {
    expect(await read({ fromLiteral: ['a=b=c', 'b=', '-x=y', 'c= '] })).toEqual({ a: 'b=c', b: '', '-x': 'y', c: ' ' })
  })

  it.each([
    ['value\n', 'value'],
    ['value\n\n', 'value\n'],
    ['value', 'value'],
    ['value\r\n', 'value\r'],
    ['', ''],
    ['\n', ''],
  ])('come from stdin without one line end: %j', async (text, value) => {
    expect(await read({ fromStdin: ['k'] }, { readBytes: () => Promise.resolve(Buffer.from(text)) })).toEqual({
      k: value,
    })
  })

  it('come from stdin as bytes when they are no text', async () => {
    const readBytes = () => Promise.resolve(Buffer.from([0xc3, 0x28, 0x0a]))
    expect(await read({ fromStdin: ['k'] }, { readBytes })).toEqual({ k: { value: 'wyg=', binary: true } })
  })

  const terminal = { inIsTerminal: true, errIsTerminal: true }

  it('are asked for one by one, without showing', async () => {
    const questions: string[] = []
    const askHidden = (question: string) => Promise.resolve(`typed ${String(questions.push(question))}`)
    expect(await read({ prompt: ['a', 'b'] }, { ...terminal, askHidden })).toEqual({ a: 'typed 1', b: 'typed 2' })
    expect(questions).toEqual(['Value of a: ', 'Value of b: '])
  })

  it('are not asked for before the rest is known to be right', async () => {
    const askHidden = () => Promise.reject(new Error('asked'))
    const { message } = await refusal({ prompt: ['a'], fromFile: ['/none/such'] }, { ...terminal, askHidden })
    expect(message).toBe('--from-file: "/none/such" does not exist')
  })

  it.each<[string, ValueFlags, string, Partial<Io>?]>([
    ['no sign', { fromLiteral: [canary] }, '--from-literal: write KEY=VALUE; there is no "="'],
    ['no sign in one', { fromLiteral: ['a=b', canary] }, '--from-literal, number 2 of 2: write KEY=VALUE'],
    [
      'a wrong key of one',
      { fromLiteral: ['a=b', `..=${canary}`, 'c='] },
      '--from-literal, number 2 of 3: invalid key',
    ],
    [
      'no key',
      { fromLiteral: [`=${canary}`] },
      '--from-literal: invalid key; a key is 1 to 253 letters, digits, "-", "_" or ".", and neither "." nor ".."',
    ],
    ['a wrong key', { fromLiteral: [`a/${canary}=x`] }, '--from-literal: invalid key; a key is'],
    ['a value for a path', { fromFile: [`k=${canary}`] }, '--from-file: the file for key "k" does not exist'],
    ['no path', { fromFile: ['k='] }, '--from-file: there is no path behind "k="'],
    ['a wrong key of a file', { fromFile: ['a b=/etc/hostname'] }, '--from-file: invalid key'],
    ['a file twice', { fromFile: ['k=/dev/null', 'k=/dev/null'] }, '--from-file names the key "k" twice'],
    [
      'a key from two places',
      { fromFile: ['k=/dev/null'], fromLiteral: [`k=${canary}`] },
      'the key "k" is named twice, by --from-file and by --from-literal',
    ],
    ['stdin twice', { fromStdin: ['a', 'b'] }, '--from-stdin can be given once: stdin holds one value'],
    ['a value for a key', { fromStdin: [`${canary}=`] }, '--from-stdin: invalid key'],
    ['stdin of a terminal', { fromStdin: ['a'] }, '--from-stdin: stdin is a terminal', terminal],
    ['nobody to ask', { prompt: ['a'] }, 'there is nobody to ask for a value; give it with --from-stdin KEY'],
    [
      'nothing typed',
      { prompt: ['a'] },
      '--prompt: nothing was typed for "a"; nothing was changed',
      { ...terminal, askHidden: () => Promise.resolve('') },
    ],
  ])('are refused: %s', async (_, flags, message, more = {}) => {
    const error = await refusal(flags, more)
    expect(error.message).toContain(message)
    expect(error.message + (error.hint ?? '')).not.toContain(canary)
    expect(error.exitCode).toBe(exit.usage)
  })

  it('are refused from files that do not fit, with the file and what to do', async () => {
    expect((await refusal({ fromFile: [at('not a key')] })).message).toBe(
      `--from-file: "${at('not a key')}": the name of the file is no key; write KEY=PATH, where a key is 1 to 253 letters, digits, "-", "_" or ".", and neither "." nor ".."`,
    )
    expect((await refusal({ fromFile: [at('below')] })).message).toContain('holds no file whose name is a key')
    expect((await refusal({ fromFile: [`k=${directory}`] })).message).toBe(
      '--from-file: the file for key "k" is a directory; leave the key out to take every file in it',
    )
    writeFileSync(at('bad.env'), `A=1\n${canary}\n`)
    const lines = await refusal({ fromEnvFile: [at('bad.env')] })
    expect(lines.message).toBe(`--from-env-file: "${at('bad.env')}": line 2 has no "="; write KEY=VALUE`)
    writeFileSync(at('bad.env'), `A=1\n${canary} x=2\n`)
    expect((await refusal({ fromEnvFile: [at('bad.env')] })).message).not.toContain(canary)
    writeFileSync(at('twice.env'), 'A=1\nA=2\n')
    expect((await refusal({ fromEnvFile: [at('twice.env')] })).message).toBe('--from-env-file names the key "A" twice')
    expect((await refusal({ fromEnvFile: [at('pem')] })).message).toContain('is no text')
  })

  it('end the command when the question is broken off', async () => {
    const error = await refusal({ prompt: ['a'] }, { ...terminal, askHidden: () => Promise.resolve(undefined) })
    expect(error.exitCode).toBe(exit.interrupted)
  })
})

describe('a value', () => {
  it('is text as long as every byte comes back', () => {
    for (const text of ['', 'a', 'ü', '\ufeffbom', 'line\r\n', '\u2028']) expect(written(Buffer.from(text))).toBe(text)
    for (const bytes of [[0], [0xff], [0xed, 0xa0, 0x80], [0x61, 0, 0x62]]) {
      const value = { value: Buffer.from(bytes).toString('base64'), binary: true }
      expect(written(Buffer.from(bytes))).toEqual(value)
    }
  })

  it.each([
    ['token', false],
    ['token\n', true],
    [' token', true],
    ['token ', true],
    ['-----BEGIN\nkey\n-----END\n', false],
    ['', false],
    ['\n', true],
  ])('%j has loose ends: %s', (value, loose) => {
    expect(hasLooseEnds(value)).toBe(loose)
  })

  it.each([
    ['token', true],
    ['.env-2_X', true],
    ['', false],
    ['../k', false],
    ['..', false],
    ['.', false],
    ['a b', false],
    ['k\n', false],
    ['ü', false],
    ['a'.repeat(253), true],
    ['a'.repeat(254), false],
  ])('%j is a key: %s', (text, expected) => {
    expect(isKey(text)).toBe(expected)
  })
})
