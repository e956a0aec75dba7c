import { describe, expect, it } from '@jest/globals'
import { checkFields } from './fields'
import { parseManifests, toManifest } from './parse'

const parse = (text: string) => parseManifests([{ name: 'team.yaml', text }])
const entries = (text: string) => toManifest(parse(text)).manifest

describe('a manifest', () => {
  it('is a bundle', () => {
    expect(entries('servers:\n  - name: a\n    replicas: 2\nprojects:\n  - { name: p, servers: [a] }\n')).toEqual({
      servers: [{ name: 'a', replicas: 2 }],
      projects: [{ name: 'p', servers: ['a'] }],
    })
  })

  it('may be JSON, may come in several documents, and may leave keys empty', () => {
    expect(entries('{"servers":[{"name":"a"}]}')).toEqual({ servers: [{ name: 'a' }] })
    expect(entries('---\nservers: [{name: a}]\n---\n\n---\nservers: [{name: b}]\nprojects:\n')).toEqual({
      servers: [{ name: 'a' }, { name: 'b' }],
    })
    expect(entries('')).toEqual({})
  })

  it('may hold whole objects, as --full prints them and as kubectl’s users write them', () => {
    const whole =
      'kind: Server\napiVersion: v1\nmetadata: { name: a, uid: u, labels: { x: y } }\nspec: { replicas: 1 }\nstatus: {}'
    expect(entries(whole)).toEqual({ servers: [{ name: 'a', labels: { x: 'y' }, replicas: 1 }] })
    expect(entries('servers:\n- metadata: { name: a, resourceVersion: "1.2" }\n  spec: { replicas: 1 }')).toEqual({
      servers: [{ name: 'a', replicas: 1 }],
    })
  })

  it('leads from the daemon’s pointers back to the lines', () => {
    const { locate, find } = toManifest(
      parseManifests([
        { name: 'a.yaml', text: 'servers:\n  - name: a\n' },
        {
          name: 'b.yaml',
          text: '# b\nservers:\n  - name: b\n    env:\n      - name: X\n        value: 1\n    replicas: -1\n',
        },
      ]),
    )
    expect(locate('/servers/0/name')).toBe('a.yaml:2')
    expect(locate('/servers/1/replicas')).toBe('b.yaml:7')
    expect(locate('/servers/1/spec/replicas')).toBe('b.yaml:7')
    expect(locate('/servers/1/env/0/value')).toBe('b.yaml:6')
    expect(locate('/servers/1/port')).toBe('b.yaml:3')
    expect(locate('/servers/9')).toBeUndefined()
    expect(find('/servers/1/replicas')?.entry.name).toBe('b')
  })

  it.each([
    ['sevrers: []', 'team.yaml:1: unknown key "sevrers"; did you mean "servers"?'],
    ['server:\n- name: a', 'team.yaml:1: unknown key "server"; did you mean "servers"?'],
    ['blah: 1', 'team.yaml:1: unknown key "blah"; a manifest\'s keys are servers, secrets, projects'],
    ['instances: []', 'team.yaml:1: instances cannot be applied: the daemon makes them'],
    ['servers: x', 'team.yaml:1: "servers" must be a list, such as "- name: …"'],
    ['servers:\n- x', 'team.yaml:2: an entry of "servers" must be a map with a name, such as "- name: …"'],
    ['servers:\n- image: x', 'team.yaml:2: this entry of "servers" has no name; names are text, numbers need quotes'],
    ['servers:\n- name: 1', 'team.yaml:2: this entry of "servers" has no name; names are text, numbers need quotes'],
    ['- name: a', 'team.yaml:1: a manifest is a map such as "servers: [ … ]"'],
    ['servers:\n- name: a\n- name: a', 'team.yaml:3: server/a is here a second time; the first is at team.yaml:2'],
    ['servers:\n- name: a\n  name: b', 'team.yaml:3: Map keys must be unique'],
    ['servers:\n- name: &x a\n- name: *x', 'team.yaml:3: YAML aliases are not allowed; repeat the value'],
    ['servers:\n- name: !!str a', 'team.yaml:2: YAML tags are not allowed'],
    ['servers:\n- name: a\n  <<: { replicas: 1 }', 'team.yaml:3: YAML merge keys are not allowed'],
    ['servers:\n- name: a\n  __proto__: {}', 'team.yaml:3: the key "__proto__" is not allowed'],
    [
      'servers:\n- name: a\n  replicas: 9007199254740993',
      'team.yaml:3: this number is too large to be exact; quote it',
    ],
    ['servers:\n- name: a\n  replicas: .nan', 'team.yaml:3: a number must be finite'],
    ['servers:\n  - name: a\n\treplicas: 2', 'team.yaml:3: Tabs are not allowed as indentation'],
    ['kind: Servr\nmetadata: { name: a }', 'team.yaml:1: unknown kind "Servr"; did you mean "Server"?'],
  ])('%j is refused with the line', (text, message) => {
    expect(() => parse(text)).toThrow(message)
  })

  it('can be checked for misspelt fields without a daemon', () => {
    expect(() => checkFields(parse('servers:\n- name: a\n  replica: 1'))).toThrow(
      'team.yaml:3: server/a has no field "replica"; did you mean "replicas"?',
    )
    expect(() => checkFields(parse('servers:\n- { name: a, labels: {}, replicas: 1 }'))).not.toThrow()
  })
})
