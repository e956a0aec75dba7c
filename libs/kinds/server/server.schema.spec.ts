import 'reflect-metadata'
import { describe, expect, it } from '@jest/globals'
import { DomainError, type FieldError } from '@mcpctl/contracts'
import { parseDesired } from '@mcpctl/resource'
import { ServerModule } from './server.module'

const source = { package: 'npm:@scope/echo@1.2.3' }

const refusals = (body: object, prefix?: string): FieldError[] => {
  try {
    parseDesired(ServerModule.resource, body, prefix)
    return []
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return error.details.errors ?? []
  }
}
/** Every wrong field of an entry, as `pointer: message`. */
const wrong = (entry: object): string[] =>
  refusals({ name: 'github', ...entry }).map(({ pointer, message }) => `${pointer}: ${message}`)
const pointers = (entry: object) => wrong(entry).map((line) => line.slice(0, line.indexOf(': ')))

describe('the name of a server', () => {
  it.each(['a', '0', 'a-b', 'constructor', 'a'.repeat(63)])('may be %s', (name) => {
    expect(wrong({ ...source, name })).toEqual([])
  })
  it.each<[unknown]>([
    [''],
    ['A'],
    ['a_b'],
    ['a.b'],
    ['-a'],
    ['a-'],
    ['--help'],
    ['.'],
    ['..'],
    ['a/b'],
    ['a/../../etc/passwd'],
    ['a b'],
    ['a\0b'],
    ['a\n'],
    ['é'],
    ['\u202e'],
    ['🐙'],
    ['a'.repeat(64)],
    [7],
    [null],
    [undefined],
    [['a']],
    [{}],
  ])('may not be %j', (name) => {
    expect(pointers({ ...source, name })).toEqual(['/name'])
  })
})

describe('labels and annotations', () => {
  it.each<Record<string, string>>([
    { team: 'core' },
    { 'example.com/team': 'core' },
    { team: '' },
    { constructor: 'a' },
    { ['a'.repeat(63)]: 'b'.repeat(63) },
  ])('may be %j', (labels) => {
    expect(wrong({ ...source, labels })).toEqual([])
  })
  it.each<[unknown, string]>([
    ['text', '/labels'],
    [['a'], '/labels'],
    [{ '-a': 'b' }, '/labels/-a'],
    [{ 'a/b/c': 'd' }, '/labels/a~1b~1c'],
    [{ '': 'a' }, '/labels/'],
    [{ a: 'b c' }, '/labels/a'],
    [{ a: 'b'.repeat(64) }, '/labels/a'],
    [{ a: '\u0000' }, '/labels/a'],
    [{ a: 1 }, '/labels/a'],
    [{ a: null }, '/labels/a'],
    [{ a: { b: 'c' } }, '/labels/a'],
  ])('may not be labels %j', (labels, pointer) => {
    expect(pointers({ ...source, labels })).toEqual([pointer])
  })
  it('may be any text in annotations, within bounds', () => {
    expect(wrong({ ...source, annotations: { note: 'any <text>\n🐙' } })).toEqual([])
    expect(pointers({ ...source, annotations: { note: 'a\0b' } })).toEqual(['/annotations/note'])
    expect(pointers({ ...source, annotations: { note: 'a'.repeat(262_144) } })).toEqual(['/annotations'])
    expect(pointers({ ...source, annotations: { note: 3 } })).toEqual(['/annotations/note'])
  })
})

describe('what a server runs', () => {
  const one = 'exactly one of image, package and url says what to run'
  it.each<[object, string]>([
    [{}, `: ${one}; none was given`],
    [{ image: 'a', package: source.package }, `: ${one}; image and package were given`],
    [{ image: 'a', url: 'https://example.com' }, `: ${one}; image and url were given`],
    [
      { image: 'a', url: 'https://example.com', package: source.package },
      `: ${one}; image and package and url were given`,
    ],
    [{ url: 'https://example.com', transport: 'stdio' }, ': a server behind a url speaks http'],
    [{ image: 'a', transport: 'http' }, ': an image with transport http needs a port'],
  ])('cannot be %j', (entry, expected) => {
    expect(wrong(entry)).toEqual([expected])
  })
  it.each<object>([
    { image: 'ghcr.io/github/github-mcp-server:v0.9' },
    { image: `a@sha256:${'0'.repeat(64)}` },
    { image: 'a', transport: 'http', port: 8080, path: '/mcp' },
    { package: 'npm:echo@1.2.3-beta.1+build' },
    { url: 'https://mcp.example.com/mcp?x=1' },
    { url: 'https://mcp.example.com', transport: 'http' },
    { ...source, image: null, url: null, port: null, path: null, resources: null },
  ])('may be %j', (entry) => {
    expect(wrong(entry)).toEqual([])
  })
})

describe('a wrong field', () => {
  it.each<[string, unknown, string?]>([
    ['image', ''],
    ['image', 'a b'],
    ['image', '-a'],
    ['image', 'a\0'],
    ['image', 'a;b'],
    ['image', 'a'.repeat(513)],
    ['image', 7],
    ['image', ['a']],
    ['package', ''],
    ['package', 'echo'],
    ['package', 'npm:echo'],
    ['package', 'npm:echo@latest'],
    ['package', 'npm:echo@^1.0.0'],
    ['package', 'npm:echo@1.0'],
    ['package', 'npm:../../etc@1.0.0'],
    ['package', 'npm:@a/b/c@1.0.0'],
    ['package', 'npm:echo@1.0.0 --registry=x'],
    ['package', 'pypi:echo==1.0.0'],
    ['package', 'git+https://example.com/a.git'],
    ['package', 3],
    ['url', 'example.com'],
    ['url', 'ftp://example.com'],
    ['url', 'https://a b'],
    ['url', 7],
    ['transport', 'sse'],
    ['transport', 'HTTP'],
    ['transport', 1],
    ['port', 0],
    ['port', 65536],
    ['port', -1],
    ['port', 80.5],
    ['port', '80'],
    ['port', true],
    ['port', 1e400],
    ['path', 'mcp'],
    ['path', '/a b'],
    ['path', '/a?b'],
    ['path', 7],
    ['command', 'sh -c echo'],
    ['command', [1]],
    ['command', ['a\0']],
    ['command', [null]],
    ['command', { 0: 'a' }],
    ['command', Array.from({ length: 257 }, () => 'a')],
    ['args', 'x'],
    ['args', [['x']]],
    ['args', [true]],
    ['env', 'A=b'],
    ['env', { A: 'b' }],
    ['env', ['A=b']],
    ['env', [null]],
    ['env', [[{ name: 'A', value: 'b' }]]],
    [
      'env',
      [
        { name: 'A', value: 'b' },
        { name: 'A', value: 'c' },
      ],
    ],
    ['env', Array.from({ length: 257 }, (_, i) => ({ name: `A${String(i)}`, value: '' }))],
    ['env', [{ name: 'A=B', value: 'c' }], '/env/0/name'],
    ['env', [{ name: '1A', value: 'c' }], '/env/0/name'],
    ['env', [{ name: 'A\n', value: 'c' }], '/env/0/name'],
    ['env', [{ name: '', value: 'c' }], '/env/0/name'],
    ['env', [{ value: 'c' }], '/env/0/name'],
    ['env', [{ name: 'A' }], '/env/0/value'],
    ['env', [{ name: 'A', value: null }], '/env/0/value'],
    ['env', [{ name: 'A', value: 3 }], '/env/0/value'],
    ['env', [{ name: 'A', value: true }], '/env/0/value'],
    ['env', [{ name: 'A', value: 'a\0b' }], '/env/0/value'],
    ['env', [{ name: 'A', value: 'a'.repeat(65_537) }], '/env/0/value'],
    ['env', [{ name: 'A', value: 'b', secret: 'c' }], '/env/0/secret'],
    ['replicas', -1],
    ['replicas', 101],
    ['replicas', 1.5],
    ['replicas', '2'],
    ['replicas', 1e400],
    ['replicas', [1]],
    ['resources', []],
    ['resources', [{ memory: '1Gi' }]],
    ['resources', 'small'],
    ['resources', { memory: '1 GB' }, '/resources/memory'],
    ['resources', { memory: '0' }, '/resources/memory'],
    ['resources', { memory: 512 }, '/resources/memory'],
    ['resources', { cpu: 'fast' }, '/resources/cpu'],
    ['resources', { cpu: 1 }, '/resources/cpu'],
    ['resources', { pids: 0 }, '/resources/pids'],
    ['resources', { gpu: 1 }, '/resources/gpu'],
    ['network', []],
    ['network', 'none'],
    ['network', {}, '/network/mode'],
    ['network', { mode: 'host' }, '/network/mode'],
    ['network', { mode: 'egress', allow: ['a:443'] }, '/network/allow'],
    ['secretFiles', 'gh-token'],
    ['strategy', { maxSurge: 101 }, '/strategy/maxSurge'],
    ['strategy', { maxSurge: 0 }, '/strategy/maxSurge'],
    ['strategy', { maxSurge: 0, maxUnavailable: 0 }, '/strategy/maxSurge'],
    ['strategy', { maxUnavailable: -1 }, '/strategy/maxUnavailable'],
    ['strategy', { minReadySeconds: 3601, progressDeadlineSeconds: 4000 }, '/strategy/minReadySeconds'],
    ['strategy', { progressDeadlineSeconds: 0 }, '/strategy/progressDeadlineSeconds'],
    ['strategy', { minReadySeconds: 600 }, '/strategy/progressDeadlineSeconds'],
    ['strategy', { type: 'Recreate' }, '/strategy/type'],
    ['probes', {}],
    ['secretRotation', 'Never'],
    ['tools', { pin: 'Warn' }],
  ])('%s: %j is pointed at', (field, value, pointer = `/${field}`) => {
    const withSource = field === 'image' || field === 'package' || field === 'url' ? {} : source
    expect(pointers({ ...withSource, [field]: value })).toEqual([pointer])
  })

  it.each([
    ['replcas', 'replicas'],
    ['imge', 'image'],
    ['pakcage', 'package'],
    ['arg', 'args'],
    ['Replicas', 'replicas'],
  ])('%s is answered with %s', (typed, meant) => {
    expect(wrong({ ...source, [typed]: 1 })).toEqual([`/${typed}: unknown field; did you mean "${meant}"?`])
  })

  it('that nothing resembles is unknown', () => {
    expect(wrong({ ...source, uid: 'x' })).toEqual(['/uid: unknown field'])
    expect(wrong({ ...source, createdBy: 'root' })).toEqual(['/createdBy: unknown field'])
  })

  it('is told with all others at once, below the place of the entry', () => {
    const entry = { name: 'A', labels: { a: 1 }, replicas: -1, port: 'x', ...source }
    expect(refusals(entry, '/servers/4').map(({ pointer }) => pointer)).toEqual([
      '/servers/4/name',
      '/servers/4/labels/a',
      '/servers/4/port',
      '/servers/4/replicas',
    ])
  })

  it('of the API object is pointed at below metadata and spec', () => {
    const object = { metadata: { name: 'A', lables: {} }, spec: { ...source, replcas: 1 }, extra: 1, kind: 'Project' }
    const told = refusals(object)
    expect(told.map(({ pointer }) => pointer)).toEqual([
      '/extra',
      '/metadata/lables',
      '/kind',
      '/metadata/name',
      '/spec/replcas',
    ])
    expect(told[1]?.message).toBe('unknown field; did you mean "labels"?')
  })

  it('never repeats the value of a variable', () => {
    const told = wrong({
      ...source,
      env: [
        { name: 'A', value: `hunter2\0` },
        { name: 'B', value: ['hunter2'] },
      ],
    })
    expect(told).toHaveLength(2)
    expect(told.join()).not.toContain('hunter2')
  })

  it('is worded a hundred times at most', () => {
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`unknown${String(i)}`, 1]))
    expect(wrong({ ...source, ...many })).toHaveLength(100)
  })
})

describe('a server that leaves things out', () => {
  it('gets the defaults', () => {
    const { spec, labels, annotations } = parseDesired(ServerModule.resource, { name: 'a', ...source })
    expect({ ...spec, labels, annotations }).toMatchObject({ command: [], args: [], env: [], replicas: 1, labels: {} })
  })
  it('gets the whole of a strategy of which it says a part, and none where it says nothing', () => {
    const strategyOf = (entry: object) =>
      (parseDesired(ServerModule.resource, { name: 'a', ...source, ...entry }).spec as { strategy?: object }).strategy
    expect(strategyOf({})).toBeUndefined()
    const defaults = { maxUnavailable: 0, maxSurge: 1, minReadySeconds: 0, progressDeadlineSeconds: 600 }
    expect({ ...strategyOf({ strategy: {} }) }).toEqual(defaults)
    expect({ ...strategyOf({ strategy: { maxUnavailable: 1, maxSurge: 0 } }) }).toEqual({
      ...defaults,
      maxUnavailable: 1,
      maxSurge: 0,
    })
  })
  it('gets them for what it leaves empty, too', () => {
    const empty = { command: null, args: null, env: null, replicas: null, transport: null }
    const { spec } = parseDesired(ServerModule.resource, { name: 'a', ...source, ...empty })
    expect(spec).toMatchObject({ command: [], args: [], env: [], replicas: 1 })
  })
})
