import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { ResourceObject } from '@mcpctl/contracts'
import { processIo } from '../io'
import { requireKind } from '../targets'
import { chosenEditor, editorCommand } from './editor'
import { MarkedText } from './marked-text'
import { mergeThreeWays } from './merge'
import { PrivateFile } from './private-file'
import { mergeOnto } from './version'

describe('the editor', () => {
  it.each([
    [{ MCPCTL_EDITOR: 'a', KUBE_EDITOR: 'b', VISUAL: 'c', EDITOR: 'd' }, 'a'],
    [{ KUBE_EDITOR: 'b', VISUAL: 'c', EDITOR: 'd' }, 'b'],
    [{ VISUAL: 'c', EDITOR: 'd' }, 'c'],
    [{ VISUAL: ' ', EDITOR: 'd' }, 'd'],
    [{}, 'vi'],
  ])('of %j is %s', (env, editor) => {
    expect(chosenEditor(env)).toBe(editor)
  })

  it('is run itself when it is one word, by the shell when it is a line', () => {
    expect(editorCommand({ EDITOR: 'nano' }, '/x/a b.yaml')).toEqual(['nano', ['/x/a b.yaml']])
    expect(editorCommand({ EDITOR: 'code --wait', SHELL: '/bin/zsh' }, '/x/$(y)')).toEqual([
      '/bin/zsh',
      ['-c', 'code --wait "$0"', '/x/$(y)'],
    ])
  })
})

describe('a text with remarks', () => {
  const body = 'servers:\n  - name: a\n    replicas: 1\n'

  it('gives back what was written, whatever stands below a #', () => {
    const scripted = 'servers:\n  - name: a\n    args:\n      - |\n        # not ours\n        # ↓ nor this\n'
    for (const text of [body, scripted, '', 'x', '# mine\n', '\n\n']) {
      const marked = MarkedText.of(text, ['Edit', '', 'below'], [{ line: 2, text: 'wrong' }, { text: 'all wrong' }])
      expect(marked.strip(marked.text)).toBe(text)
    }
  })

  it('says a remark above its line, as deep as that', () => {
    const { text } = MarkedText.of(
      body,
      ['Edit'],
      [
        { line: 3, text: 'too few' },
        { line: 99, text: 'somewhere' },
      ],
    )
    expect(text).toBe('# Edit\n# * somewhere\nservers:\n  - name: a\n    # ↓ too few\n    replicas: 1\n')
  })

  it('knows its lines again in what the user has made of it', () => {
    const marked = MarkedText.of(body, ['one', 'two'], [{ line: 3, text: 'too few' }])
    const edited = marked.text.replace('servers:', '# of mine\nservers:')
    expect(marked.strip(edited)).toBe(`# of mine\n${body}`)
    const line = edited.split('\n').findIndex((each) => each.includes('replicas')) + 1
    expect(marked.lineIn(edited, line)).toBe(4)
    expect(marked.lineIn(edited, 1)).toBe(1)
  })
})

describe('a three-way merge', () => {
  const base = { name: 'a', replicas: 2, args: ['x'], resources: { memory: '1Gi', cpu: '1' } }

  const table: { does: string; mine: object; theirs: object; makes: object; clashes?: string[] }[] = [
    {
      does: 'takes what either changed',
      mine: { replicas: 3 },
      theirs: { args: ['y'] },
      makes: { replicas: 3, args: ['y'] },
    },
    {
      does: 'goes into maps',
      mine: { resources: { memory: '2Gi', cpu: '1' } },
      theirs: { resources: { memory: '1Gi', cpu: '2' } },
      makes: { resources: { memory: '2Gi', cpu: '2' } },
    },
    { does: 'leaves out what I removed', mine: { args: undefined }, theirs: {}, makes: { args: undefined } },
    { does: 'leaves out what they removed', mine: {}, theirs: { args: undefined }, makes: { args: undefined } },
    { does: 'takes the same change of both', mine: { replicas: 3 }, theirs: { replicas: 3 }, makes: { replicas: 3 } },
    {
      does: 'tells where they clash',
      mine: { replicas: 3 },
      theirs: { replicas: 4 },
      makes: { replicas: 3 },
      clashes: ['replicas'],
    },
    {
      does: 'tells of a field that I changed and they removed',
      mine: { resources: { memory: '2Gi', cpu: '1' } },
      theirs: { resources: { cpu: '1' } },
      makes: { resources: { memory: '2Gi', cpu: '1' } },
      clashes: ['resources.memory'],
    },
    {
      does: 'takes a list as one value',
      mine: { args: ['x', 'y'] },
      theirs: { args: ['z'] },
      makes: { args: ['x', 'y'] },
      clashes: ['args'],
    },
  ]
  it.each(table)('$does', ({ mine, theirs, makes, clashes = [] }) => {
    const merged = mergeThreeWays(base, { ...base, ...mine }, { ...base, ...theirs })
    expect(merged.value).toEqual({ ...base, ...makes })
    expect(merged.clashes.map(({ path }) => path.join('.'))).toEqual(clashes)
  })

  it('takes two values of a secret that are both kept for what they are', () => {
    const at = (fingerprint: string) =>
      ({
        kind: 'Secret',
        metadata: { name: 's', labels: {}, annotations: {} },
        spec: { data: { token: { keep: true }, other: { keep: true } } },
        status: { fingerprints: { token: fingerprint, other: 'ff' } },
      }) as unknown as ResourceObject
    const kind = { ...requireKind('server'), plural: 'secrets', fields: ['data'] }
    const merge = (data: object) =>
      mergeOnto(kind, { base: at('aa'), theirs: at('bb') }, { name: 's', data }).clashes.map(({ path }) => path)
    expect(merge({ token: { keep: true }, other: 'mine' })).toEqual([])
    expect(merge({ token: 'mine', other: { keep: true } })).toEqual([['data', 'token']])
    expect(merge({ other: { keep: true } })).toEqual([['data', 'token']])
    expect(
      mergeOnto(kind, { base: at('aa'), theirs: at('bb') }, { name: 's', data: { token: { keep: true }, other: 'm' } })
        .value,
    ).toEqual({ name: 's', data: { token: { keep: true }, other: 'm' } })
  })
})

describe('the file', () => {
  const made: string[] = []
  afterEach(() => {
    for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true })
  })
  const runtime = (mode = 0o700) => {
    const path = mkdtempSync(join(tmpdir(), 'mcpctl-runtime-'))
    chmodSync(path, mode)
    made.push(path)
    return path
  }
  const create = (directory: string) =>
    PrivateFile.create({ ...processIo(), env: { XDG_RUNTIME_DIR: directory } }, 'mcpctl-edit-server-a.yaml')
  const mode = (path: string) => lstatSync(path).mode & 0o777

  it("is the user's alone, in a directory that is too", () => {
    const directory = runtime()
    const file = create(directory)
    file.write('text')
    expect(dirname(dirname(file.path))).toBe(directory)
    expect([mode(file.path), mode(dirname(file.path))]).toEqual([0o600, 0o700])
    expect(file.read()).toBe('text')
  })

  it('stands where temporary files do when there is no directory for the session', () => {
    const file = create('/nowhere')
    made.push(dirname(file.path))
    expect(dirname(dirname(file.path))).toBe(process.env['TMPDIR'] ?? tmpdir())
    expect(mode(dirname(file.path))).toBe(0o700)
  })

  it('does not write through a link that took its place', () => {
    const directory = runtime()
    const victim = join(directory, 'victim')
    writeFileSync(victim, 'precious')
    const file = create(directory)
    symlinkSync(victim, file.path)
    file.write('text')
    expect(readFileSync(victim, 'utf8')).toBe('precious')
    expect(lstatSync(file.path).isFile()).toBe(true)
  })

  it('goes with all that an editor left beside it', () => {
    const file = create(runtime())
    file.write('text')
    writeFileSync(`${file.path}~`, 'text')
    writeFileSync(join(dirname(file.path), '.a.swp'), 'text')
    file.remove()
    expect(existsSync(dirname(file.path))).toBe(false)
  })

  it('is kept alone and private, whatever the editor made of it', () => {
    const file = create(runtime())
    file.write('text')
    rmSync(file.path)
    writeFileSync(file.path, 'new', { mode: 0o644 })
    writeFileSync(`${file.path}~`, 'old')
    expect(file.keep()).toBe(file.path)
    expect(readdirSync(dirname(file.path))).toEqual([file.name])
    expect(mode(file.path)).toBe(0o600)
  })
})
