import type { Canaries } from './canary-world'

/** A value in a wrong place of a command line: the exit code, the words, the standard input. */
export type WrongLine = [
  what: string,
  code: number,
  words: (canaries: Canaries) => string[],
  input?: (canaries: Canaries) => string,
]

const yaml = (value: string) => `secrets:\n- name: other\n  data:\n    key: ${value}\n`

export const wrongLines: WrongLine[] = [
  ['a literal without a key', 2, ({ typed }) => ['create', 'secret', 'other', '--from-literal', typed.value]],
  ['a literal with an empty key', 2, ({ typed }) => ['create', 'secret', 'other', '--from-literal', `=${typed.value}`]],
  [
    'a literal under a key that is none',
    2,
    ({ typed }) => ['create', 'secret', 'other', '--from-literal', `a b=${typed.value}`],
  ],
  ['a value in place of a path', 2, ({ typed }) => ['create', 'secret', 'other', '--from-file', `key=${typed.value}`]],
  ['a value in place of a flag', 2, ({ typed }) => ['create', 'secret', 'other', `--key=${typed.value}`]],
  ['a value behind an unknown flag', 2, ({ typed }) => ['create', 'secret', 'other', '--key', typed.value]],
  ['a value as one word more', 2, ({ typed }) => ['create', 'secret', 'other', typed.value, 'more']],
  [
    'a value in place of a number',
    2,
    ({ typed }) => ['create', 'secret', 'other', '--from-literal', 'a=b', '--history-limit', typed.value],
  ],
  [
    'a value in place of a key to ask for',
    2,
    ({ typed }) => ['create', 'secret', 'other', '--prompt', `${typed.value}/`],
  ],
  ['a credential in place of a name', 7, ({ token }) => ['create', 'secret', token.value, '--from-literal', 'a=b']],
  [
    'a credential as a label',
    7,
    ({ token }) => ['create', 'secret', 'other', '--from-literal', 'a=b', '--label', `team=${token.value}`],
  ],
  ['a credential as a reason', 7, ({ token }) => ['create', 'project', 'other', '--reason', token.value]],
  ['a credential as a command', 2, ({ token }) => [token.value]],
  ['a credential as a type', 2, ({ token }) => ['get', token.value]],
  ['a credential as a name', 3, ({ token }) => ['get', 'secret', token.value]],
  ['a value as a name', 3, ({ typed }) => ['get', 'secret', typed.value]],
  ['a credential as a format', 2, ({ token }) => ['get', 'secrets', '-o', token.value]],
  ['YAML with a wrong indentation', 2, () => ['apply', '-f', '-'], ({ typed }) => `${yaml(typed.value)}   bad: [\n`],
  ['YAML with a value that is an alias', 2, () => ['apply', '-f', '-'], ({ typed }) => yaml(`*${typed.value}`)],
  ['YAML with a tag', 2, () => ['apply', '-f', '-'], ({ typed }) => yaml(`!${typed.value} x`)],
  [
    'YAML with a value twice',
    2,
    () => ['apply', '-f', '-'],
    ({ typed }) => `${yaml('x')}    ${typed.value}: a\n    ${typed.value}: b\n`,
  ],
  ['YAML that is only a value', 2, () => ['apply', '-f', '-'], ({ typed }) => typed.value],
  ['YAML with a value as a kind', 2, () => ['apply', '-f', '-'], ({ typed }) => `${typed.value}: []\n`],
  ['YAML with a quote that is open', 2, () => ['apply', '-f', '-'], ({ typed }) => yaml(`"${typed.value}`)],
  [
    'JSON that ends too early',
    2,
    () => ['apply', '-f', '-'],
    ({ typed }) => `{"secrets":[{"name":"other","data":{"key":"${typed.value}`,
  ],
  [
    'a value as an unknown field',
    7,
    () => ['apply', '-f', '-'],
    ({ typed }) => `secrets:\n- name: other\n  stringData: {key: ${typed.value}}\n`,
  ],
  [
    'a value with a tab in front',
    2,
    () => ['apply', '-f', '-'],
    ({ typed }) => `secrets:\n- name: other\n  data:\n\tkey: ${typed.value}\n`,
  ],
  ['a wrong password', 4, () => ['login', '--user', 'admin', '--password-stdin'], ({ typed }) => `${typed.value}\n`],
]
