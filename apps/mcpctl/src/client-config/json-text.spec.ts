import { describe, expect, it } from '@jest/globals'
import { changedLines } from './changed-lines'
import { JsonText } from './json-text'

const of = (text: string) => JsonText.of(text, 'file.json')

describe('the text of a JSON file', () => {
  it.each([
    ['nothing', '', '{\n  "mcpServers": {\n    "web": {\n      "a": [\n        1\n      ]\n    }\n  }\n}\n'],
    ['an empty object', '{}', '{\n  "mcpServers": {\n    "web": {\n      "a": [\n        1\n      ]\n    }\n  }\n}'],
    [
      'other members',
      '{\n    "theme": "dark"\n}\n',
      '{\n    "theme": "dark",\n    "mcpServers": {\n        "web": {\n            "a": [\n                1\n            ]\n        }\n    }\n}\n',
    ],
    [
      'an empty list of servers, with tabs',
      '{\n\t"mcpServers": {},\n\t"x": 1.0\n}',
      '{\n\t"mcpServers": {\n\t\t"web": {\n\t\t\t"a": [\n\t\t\t\t1\n\t\t\t]\n\t\t}\n\t},\n\t"x": 1.0\n}',
    ],
    [
      'another server, with line ends of Windows',
      '{\r\n  "mcpServers": {\r\n    "b": { "x":  "\\u0041\\/" }\r\n  }\r\n}\r\n',
      '{\r\n  "mcpServers": {\r\n    "b": { "x":  "\\u0041\\/" },\r\n    "web": {\r\n      "a": [\r\n        1\r\n      ]\r\n    }\r\n  }\r\n}\r\n',
    ],
    [
      'the same server',
      '{\n  "mcpServers": {\n    "web": 1, "b": 2\n  }\n}',
      '{\n  "mcpServers": {\n    "web": {\n      "a": [\n        1\n      ]\n    }, "b": 2\n  }\n}',
    ],
  ])('takes a member beside %s, and stays as it is elsewhere', (_, before, after) => {
    expect(of(before).withMember('mcpServers', 'web', { a: [1] }).text).toBe(after)
  })

  it('stays JSON that says the same, also on one line', () => {
    const text = of('{"mcpServers":{"b":{}},"x":[1,2]}').withMember('mcpServers', 'web', { a: '"\\' }).text
    expect(JSON.parse(text)).toEqual({ mcpServers: { b: {}, web: { a: '"\\' } }, x: [1, 2] })
  })

  it.each([
    ['{\n  "s": {\n    "a": 1,\n    "web": {},\n    "b": 2\n  }\n}', '{\n  "s": {\n    "a": 1,\n    "b": 2\n  }\n}'],
    ['{\n  "s": {\n    "web": {},\n    "b": 2\n  }\n}', '{\n  "s": {\n    "b": 2\n  }\n}'],
    ['{\n  "s": {\n    "a": 1,\n    "web": {}\n  }\n}', '{\n  "s": {\n    "a": 1\n  }\n}'],
    ['{\n  "s": {\n    "web": { "a": 1 }\n  }\n}', '{\n  "s": {}\n}'],
    ['{ "s": { "a": 1 } }', '{ "s": { "a": 1 } }'],
    ['{}', '{}'],
  ])('gives a member up: %j', (before, after) => {
    expect(of(before).without('s', 'web').text).toBe(after)
  })

  it('takes elements and gives them up', () => {
    const one = of('{\n  "x": 1\n}').withElement('inputs', { id: 'a' })
    expect(one.text).toBe('{\n  "x": 1,\n  "inputs": [\n    {\n      "id": "a"\n    }\n  ]\n}')
    const two = one.withElement('inputs', { id: 'b' })
    expect(two.at('inputs')).toEqual([{ id: 'a' }, { id: 'b' }])
    expect(two.withoutElement('inputs', 1).text).toBe(one.text)
    expect(two.withoutElement('inputs', 0).at('inputs')).toEqual([{ id: 'b' }])
    expect(one.withoutElement('inputs', 0).text).toBe('{\n  "x": 1,\n  "inputs": []\n}')
    expect(of('{ "inputs": [ ] }').withElement('inputs', 1).at('inputs')).toEqual([1])
  })

  it.each([
    ['{ // mine\n "a": 1 }', 'is no plain JSON'],
    ['{ "a": 1, }', 'is no plain JSON'],
    ['a: 1', 'is no plain JSON'],
    ['\ufeff{}', 'begins with a byte order mark'],
    ['[]', 'is no object'],
    ['null', 'is no object'],
    ['{ "a": 1, "a": 2 }', 'names a key twice'],
    ['{ "s": [] }', '"s" is no object'],
  ])('is left alone when it is not what it should be: %s', (text, why) => {
    expect(() => of(text).withMember('s', 'web', 1)).toThrow(`file.json: ${why}`)
  })

  it('does not reach into what every object has', () => {
    expect(of('{}').at('constructor', 'name')).toBeUndefined()
    expect(JSON.parse(of('{}').withMember('s', '__proto__', 1).text)).toEqual(JSON.parse('{"s":{"__proto__":1}}'))
  })
})

describe('what changed', () => {
  it('is told line by line, without the values of lines that go', () => {
    const before = '{\n  "a": 1,\n  "env": { "TOKEN": "by \\"hand\\"" },\n  "args": ["--key=x"]\n}\n'
    const after = '{\n  "a": 1,\n  "env": { "TOKEN": "${TOKEN}" },\n  "args": ["--key=x"],\n  "b": "\u001b[31m"\n}\n'
    expect(changedLines(before, after)).toEqual([
      '-  "env": { "TOKEN": "***" },',
      '-  "args": ["***"]',
      '+  "env": { "TOKEN": "${TOKEN}" },',
      '+  "args": ["***"],',
      '+  "b": "␛[31m"',
    ])
  })

  it('shows no value that was there, also where all stands in one line', () => {
    const before = '{"x":{"env":{"TOKEN":"by hand","PIN":123456,"on":true}}}'
    const after =
      '{"x":{"env":{"TOKEN":"by hand","PIN":123456,"on":true}}, "web": {"args":["--project","web"],"n":-1.5e3}}'
    expect(changedLines(before, after)).toEqual([
      '-{"x":{"env":{"TOKEN":"***","PIN":***,"on":true}}}',
      '+{"x":{"env":{"TOKEN":"***","PIN":***,"on":true}}, "web": {"args":["--project","web"],"n":-1.5e3}}',
    ])
    expect(changedLines(after, before, 'the user')[1]).toBe('+{"x":{"env":{"TOKEN":"***","PIN":***,"on":true}}}')
  })

  it.each([
    ['', 'a\nb\n', ['+a', '+b']],
    ['a\nb\n', '', ['-a', '-b']],
    ['a\n', 'a\n', []],
    ['a\na\n', 'a\n', ['-a']],
    ['a\n', 'a\na\n', ['+a']],
    ['a\r\nb', 'a\nc', ['-b', '+c']],
  ])('%j → %j', (before, after, lines) => {
    expect(changedLines(before, after)).toEqual(lines)
  })
})
