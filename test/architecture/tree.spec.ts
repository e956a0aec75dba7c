import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { kindFiles, kindFolders, kindRoles } from '../../scripts/lib/kind-roles.mjs'

const root = resolve(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const folders = (path: string) =>
  readdirSync(join(root, path), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)

const sources = ['apps', 'libs', 'test'].flatMap((top) =>
  readdirSync(join(root, top), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    // The benchmark installs packages of its own.
    .filter((path) => !path.includes('/node_modules/')),
)

describe('the tree', () => {
  it('has three apps, each started by its main.ts', () => {
    expect(folders('apps').sort()).toEqual(['mcpctl', 'mcpd', 'mcplocal'])
    for (const app of folders('apps')) expect(existsSync(join(root, 'apps', app, 'src/main.ts'))).toBe(true)
  })

  it.each([
    'access',
    'client',
    'contracts',
    'event-store',
    'gateway',
    'kinds',
    'postgres',
    'read-model',
    'reconcile',
    'runtime',
  ])('has libs/%s', (lib) => {
    expect(folders('libs')).toContain(lib)
  })

  it('keeps migrations forward only, numbered without a gap', () => {
    const numbers = readdirSync(join(root, 'migrations')).map((file) => /^(\d{4})_[a-z0-9_]+\.sql$/.exec(file)?.[1])
    expect(numbers.sort()).toEqual(numbers.map((_, index) => String(index + 1).padStart(4, '0')))
  })

  it('names files in kebab-case', () => {
    const name = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*\.ts$/
    expect(sources.filter((path) => !name.test(path.slice(path.lastIndexOf('/') + 1)))).toEqual([])
  })

  it('has no file whose name says nothing', () => {
    expect(
      sources.filter((path) => /[-./](service|manager|helpers?|utils?|base|common|info|data)\.(spec\.)?ts$/.test(path)),
    ).toEqual([])
  })
})

describe('each kind', () => {
  it.each(kindFolders())('%s has files of known roles only', (kind) => {
    const role = Object.keys(kindRoles).join('|')
    const known = new RegExp(
      `^[a-z][a-z-]*(\\.(${role}))?(\\.(int|docker))?\\.spec\\.ts$|^[a-z][a-z-]*\\.(${role})\\.ts$`,
    )
    expect(kindFiles(kind).filter((file) => !known.test(file))).toEqual([])
  })

  it.each(kindFolders())('%s is in the list of contracts and in the list of modules', (kind) => {
    expect(read('libs/kinds/kinds.ts')).toContain(`'./${kind}/${kind}.kind'`)
    expect(read('libs/kinds/modules.ts')).toContain(`'./${kind}/${kind}.module'`)
  })

  it('is a folder; beside them stand only the two lists', () => {
    const files = readdirSync(join(root, 'libs/kinds'), { withFileTypes: true }).filter((entry) => entry.isFile())
    expect(files.map(({ name }) => name).sort()).toEqual(['kinds.ts', 'modules.ts'])
  })
})
