import { describe, expect, it } from '@jest/globals'
import { passwordProblem } from './password-policy'

const emoji = '🦀'

describe('B53 a password', () => {
  it.each([
    'correct horse battery staple',
    'a walk on the moon 7',
    'kFh28sjq_LqP',
    `${'quiet rivers run past old mills and new '.repeat(2).slice(0, 62)}${emoji}`,
    'überraschend günstige Möhren',
    'x7!Qm2$Vb9#Ld',
    'пароль для тестов номер 9',
    'alice has a red bicycle',
  ])('may be "%s"', (password) => {
    expect(passwordProblem(password, 'alice')).toBeUndefined()
  })

  it.each([
    ['password1', 'too short'],
    ['password1234', 'a common word'],
    ['P@ssw0rd!!!!', 'a common word in disguise'],
    ['alicealice12', 'the user’s name'],
    ['Alice-Alice-2026', 'the user’s name'],
    ['mcpctl-mcpctl', 'the product’s name'],
    ['mcpctl-admin-1', 'the product’s name'],
    ['short7!', 'seven characters'],
    ['aaaaaaaaaaaaaaaa', 'one character'],
    ['123456789012', 'a row of neighbours'],
    ['abcdefghijklmnop', 'a row of neighbours'],
    ['qwertyuiopqwerty', 'a row of keys'],
    ['ababababababab', 'two characters'],
    ['', 'empty'],
    ['            ', 'blank'],
    ['letmeinletmein2', 'a common word'],
  ])('must not be "%s": %s', (password) => {
    expect(passwordProblem(password, 'alice')).toBeDefined()
  })

  it('has at most 256 bytes', () => {
    const long = Array.from({ length: 64 }, (_, n) => `${String(n * 7919)}x`).join('')
    expect(passwordProblem(long.slice(0, 256), 'alice')).toBeUndefined()
    expect(passwordProblem(long.slice(0, 257), 'alice')).toMatch(/256 bytes/)
    expect(passwordProblem(emoji.repeat(65), 'alice')).toMatch(/256 bytes/)
  })

  it('is never repeated in what is said about it', () => {
    expect(passwordProblem('password1234', 'alice')).not.toContain('1234')
  })
})
