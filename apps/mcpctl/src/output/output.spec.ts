import { describe, expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { serverKind } from '@mcpctl/kinds/server/server.kind'
import { server } from '../../test/objects'
import { age, humanDuration } from './age'
import { cell, columnsOf } from './columns'
import { escapeLog, escapeText } from './escape'
import { parseFormat } from './format'
import { parsePath, pathValue } from './path'
import { formatTable, width } from './table'
import { toYaml } from './yaml'

describe('an age', () => {
  it.each([
    [-5, '<invalid>'],
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [185, '3m5s'],
    [601, '10m'],
    [3 * 3600 + 12 * 60, '3h12m'],
    [9 * 3600, '9h'],
    [2 * 86400, '2d'],
    [3 * 86400 + 7 * 3600, '3d7h'],
    [100 * 86400, '100d'],
    [800 * 86400, '2y70d'],
    [9 * 365 * 86400, '9y'],
  ])('of %d seconds is %s', (seconds, text) => expect(humanDuration(seconds)).toBe(text))

  it('of something that is no instant is unknown', () => expect(age('soon', 0)).toBe('<unknown>'))
})

describe('text from others', () => {
  it('cannot steer the terminal', () => {
    expect(escapeText('a\u001b[31mb\n\u007f\u009b\u202e')).toBe('a␛[31mb␊␡\\u009b\\u202e')
  })
  it('may be coloured in a log, and nothing else', () => {
    expect(escapeLog('\u001b[31mred\u001b[0m\t\u001b]0;title\u0007')).toBe('\u001b[31mred\u001b[0m\t␛]0;title␇')
  })
})

describe('a table', () => {
  it('has columns three spaces apart and nothing behind the last one', () => {
    expect(
      formatTable([
        ['NAME', 'AGE'],
        ['github', '5d'],
        ['x', ''],
      ]),
    ).toBe('NAME     AGE\ngithub   5d\nx\n')
  })
  it('aligns by what a terminal shows', () => {
    expect(width('日本')).toBe(4)
    expect(
      formatTable([
        ['日本', 'a'],
        ['é', 'b'],
      ]),
    ).toBe('日本   a\né      b\n')
  })
  it('is cut in its last column only, and on a terminal only', () => {
    const rows = [
      ['NAME', 'MESSAGE'],
      ['github', 'a long story about nothing'],
    ]
    expect(formatTable(rows, 20)).toBe('NAME     MESSAGE\ngithub   a long sto…\n')
    expect(formatTable(rows)).toContain('a long story about nothing')
  })
})

describe('a kind’s columns', () => {
  it('begin with NAME, then the kind’s own, then AGE, then the wide ones', () => {
    const headers = columnsOf(serverKind, true).map(({ header }) => header)
    expect(headers.slice(0, 6)).toEqual(['NAME', 'READY', 'UP-TO-DATE', 'AVAILABLE', 'STATUS', 'AGE'])
    expect(headers[6]).toBe('TRANSPORT')
  })
  it('compose several values, absent ones counting as 0', () => {
    const column = { header: 'READY', path: '{status.readyReplicas}/{spec.replicas}' }
    expect(cell(server('x'), column, 0)).toBe('2/2')
    expect(cell({ ...server('x'), status: {} }, column, 0)).toBe('0/2')
  })
  it('show counts, lists and answers', () => {
    const object = server('x', { status: { ok: false, names: ['a', { name: 'b' }] } })
    expect(cell(object, { header: '', path: 'status.names', as: 'list' }, 0)).toBe('a,b')
    expect(cell(object, { header: '', path: 'status.names', as: 'count' }, 0)).toBe('2')
    expect(cell(object, { header: '', path: 'status.ok', as: 'yesno' }, 0)).toBe('no')
    expect(cell(object, { header: '', path: 'status.none', as: 'yesno' }, 0)).toBe('<none>')
    expect(cell(object, { header: '', path: 'status.constructor' }, 0)).toBe('<none>')
  })
})

describe('YAML', () => {
  const tricky = [
    'yes',
    'No',
    'on',
    'off',
    'null',
    '~',
    '',
    '007',
    '0o7',
    '1e3',
    '1_000',
    '2026-01-31',
    '12:30',
    '.5',
    'y',
  ]

  it.each(tricky)('quotes the text %j', (text) => {
    expect(toYaml({ value: text })).toBe(`value: "${text}"\n`)
  })
  it('reads back as it was, by readers of both versions', () => {
    const value = { args: tricky, on: 'yes', image: 'ghcr.io/x:1.2', n: 3, ok: true, text: 'a\nb\n' }
    expect(parse(toYaml(value))).toEqual(value)
    expect(parse(toYaml(value), { version: '1.1' })).toEqual(value)
  })
})

describe('a path', () => {
  it('names one value', () => {
    const object = { status: { conditions: [{ type: 'Ready' }], 'a.b': 1 } }
    expect(pathValue(object, parsePath('{.status.conditions[0].type}'))).toBe('Ready')
    expect(pathValue(object, parsePath("{.status['a.b']}"))).toBe(1)
    expect(pathValue(object, parsePath('{.spec.x}'))).toBeUndefined()
  })
  it('must be readable', () => expect(() => parsePath('{.a b}')).toThrow('cannot read the path'))
})

describe('an output format', () => {
  it('is refused in kubectl’s words', () => {
    expect(() => parseFormat('yml', ['table', 'yaml', 'json'])).toThrow(
      'unable to match a printer suitable for the output format "yml", allowed formats are: json,table,yaml; did you mean "yaml"?',
    )
    expect(() => parseFormat('go-template={{.}}', ['json'])).toThrow('use -o json and a JSON tool')
  })
})
