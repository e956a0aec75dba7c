import { describe, expect, it } from '@jest/globals'
import { nestedDeeperThan, parseFrame, renumbered } from './frames'
import { innerName, matchesTemplate, outerName } from './names'

describe('frames', () => {
  it('are JSON-RPC 2.0 or nothing', () => {
    const good = [
      '{"jsonrpc":"2.0","id":1,"method":"ping"}',
      '{"jsonrpc":"2.0","method":"notifications/initialized","params":{}}',
      '{"jsonrpc":"2.0","id":"a","result":{}}',
      '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}',
    ]
    const bad = [
      '',
      'null',
      '7',
      '[]',
      '{}',
      '{"id":1,"method":"ping"}',
      '{"jsonrpc":"2.0","id":null,"method":"ping"}',
      '{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}',
      '{"jsonrpc":"2.0","id":1}',
      '{"jsonrpc":"2.0","result":{}}',
    ]
    for (const text of good) expect(parseFrame(text)).toEqual(JSON.parse(text))
    for (const text of bad) expect(parseFrame(text)).toBeUndefined()
  })

  it('take another id and progress token, and keep everything else', () => {
    const params = { name: 'x', _meta: { progressToken: 0, other: 1 }, future: true }
    const frame = { jsonrpc: '2.0' as const, id: 1, method: 'tools/call', params }
    expect(renumbered(frame, 'b:1')).toEqual({
      ...frame,
      id: 'b:1',
      params: { name: 'x', _meta: { progressToken: 'b:1', other: 1 }, future: true },
    })
    expect(renumbered({ ...frame, params: { name: 'x' } }, 'b:2')).toEqual({
      ...frame,
      id: 'b:2',
      params: { name: 'x' },
    })
  })

  it('are measured in depth without being parsed', () => {
    expect(nestedDeeperThan('[[{"a":[]}]]', 4)).toBe(false)
    expect(nestedDeeperThan('[[{"a":[]}]]', 3)).toBe(true)
    expect(nestedDeeperThan('["[[[[", "\\"[[[["]', 1)).toBe(false)
    expect(nestedDeeperThan('"[[[', 1)).toBe(false)
  })
})

describe('names', () => {
  const project = { kind: 'project' as const, name: 'web' }
  const own = { kind: 'server' as const, name: 'git' }
  const servers = [{ name: 'git', instances: [] }]

  it('carry their server on a project, and are plain on the server itself', () => {
    expect(outerName(project, 'git', 'log')).toBe('git__log')
    expect(outerName(own, 'git', 'log')).toBe('log')
    expect(innerName(project, servers, 'git__log__all')).toMatchObject({ name: 'log__all' })
    expect(innerName(own, servers, 'git__log')).toMatchObject({ name: 'git__log' })
  })

  it('are hidden and refused where clients could not take them', () => {
    for (const name of ['', 'a b', 'a/b', 'ä', 'x'.repeat(129)]) {
      expect(outerName(project, 'git', name)).toBeUndefined()
      expect(innerName(project, servers, `git__${name}`)).toBeUndefined()
    }
    expect(outerName(own, 'git', 'x'.repeat(128))).toBeDefined()
    expect(outerName(project, 'git', 'x'.repeat(124))).toBeUndefined()
    for (const name of ['log', '__log', 'hg__log', 'constructor__x'])
      expect(innerName(project, servers, name)).toBeUndefined()
  })

  it('of resources match the templates that could have made them', () => {
    expect(matchesTemplate('file:///{+path}', 'file:///a/b')).toBe(true)
    expect(matchesTemplate('demo://{id}/text', 'demo://7/text')).toBe(true)
    expect(matchesTemplate('demo://{id}/text', 'demo://7/blob')).toBe(false)
    expect(matchesTemplate('demo://a{id}a', 'demo://a')).toBe(false)
    expect(matchesTemplate('demo://a', 'demo://a')).toBe(true)
    expect(matchesTemplate('demo://a', 'demo://ab')).toBe(false)
    expect(matchesTemplate('{x}ab{y}ab', 'abab')).toBe(true)
  })
})
