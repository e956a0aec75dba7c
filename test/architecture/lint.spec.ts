import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import { describe, expect, it } from '@jest/globals'

const repository = resolve(import.meta.dirname, '../..')

/** The rules that `text` breaks, as if it stood in `path`, which must be a file of the project. */
const broken = (path: string, text: string): string[] => {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [join(repository, 'node_modules/eslint/bin/eslint.js'), '--format', 'json', '--stdin', '--stdin-filename', path],
    { cwd: repository, encoding: 'utf8', input: text },
  )
  if (stdout === '') throw new Error(stderr)
  const [report] = JSON.parse(stdout) as { messages: { ruleId: string | null; line: number; message: string }[] }[]
  return (report?.messages ?? []).map(({ line, ruleId, message }) => `${String(line)} ${ruleId ?? message}`)
}

describe('the lint rules', () => {
  it('keep clock, chance, process and waiting out of pure roles, and let instants be computed', () => {
    const text = [
      'export const a = () => Date.now()',
      'export const b = () => new Date()',
      'export const c = () => Math.random()',
      'export const d = () => process.pid',
      'export const e = () => fetch("http://localhost")',
      'export const f = async (wait: Promise<number>) => wait.then(() => 1)',
      'export const g = (wait: () => void) => setTimeout(wait, 1)',
      'export const fine = (at: string) => new Date(Date.parse(at) + 1000).toISOString()',
    ].join('\n')
    expect(broken('libs/kinds/server/server.decider.ts', `${text}\n`)).toEqual([
      '1 no-restricted-syntax',
      '2 no-restricted-syntax',
      '3 no-restricted-properties',
      '4 no-restricted-globals',
      '5 no-restricted-globals',
      '6 no-restricted-syntax',
      '7 no-restricted-globals',
    ])
  }, 120_000)

  it('hold the budgets and the names', () => {
    const branches = Array.from({ length: 11 }, (_, i) => `  if (n === ${String(i)}) return ${String(i)}`).join('\n')
    const long = Array.from({ length: 300 }, () => '// filler').join('\n')
    const text = [
      'export const five = (a: number, b: number, c: number, d: number, e: number) => a + b + c + d + e',
      'export class ServerManager { readonly name = 1 }',
      'export const loose = (value: any): string => String(value)',
      'export class Wide { constructor(a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1) { void [a, b, c, d, e, f, g] } }',
      `export const branchy = (n: number) => {\n${branches}\n  return -1\n}`,
      'console.log(five(1, 2, 3, 4, 5))',
      `export const long = () => {\n${long}\n}`,
    ].join('\n')
    const violations = broken('libs/contracts/names.ts', `${text}\n`)
    for (const line of [1, 2, 4]) expect(violations).toContain(`${String(line)} no-restricted-syntax`)
    const rules = violations.map((violation) => violation.split(' ')[1])
    expect(rules).toEqual(
      expect.arrayContaining([
        '@typescript-eslint/no-explicit-any',
        'complexity',
        'no-console',
        'max-lines-per-function',
        'max-lines',
      ]),
    )
  }, 120_000)
})
