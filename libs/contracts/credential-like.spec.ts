import { describe, expect, it } from '@jest/globals'
import { looksLikeCredential, maskCredentials, maskSecrets } from './credential-like'

const sixty = 'aB3'.repeat(20)
const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U'
const pem = `-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END RSA PRIVATE KEY-----`

const credentials: [string, string][] = [
  ['a personal token of mcpctl', `mcp_pat_${sixty.slice(0, 49)}`],
  ['a session of mcpctl', `mcp_ses_${sixty.slice(0, 49)}`],
  ['a token of a service user', `mcp_svc_${sixty.slice(0, 49)}`],
  ['a token of GitHub', `ghp_${sixty.slice(0, 36)}`],
  ['a fine-grained token of GitHub', `github_pat_11ABCDEFG0${sixty}`],
  ['an access key of AWS', 'AKIAIOSFODNN7EXAMPLE'],
  ['a bot token of Slack', ['xoxb', '123456789012', 'abcdefABCDEF'].join('-')],
  ['a JSON Web Token', jwt],
  ['a private key', pem],
  ['a private key of a newer kind', '-----BEGIN PRIVATE KEY-----'],
]

describe('what looks like a credential', () => {
  it.each(credentials)('is %s, alone and within a text', (_, text) => {
    expect(looksLikeCredential(text)).toBe(true)
    expect(maskCredentials(text)).toBe('***')
    expect(maskCredentials(`Bearer ${text} and "${text}".`)).toBe('Bearer *** and "***".')
    expect(maskCredentials(JSON.stringify({ text }))).toBe('{"text":"***"}')
  })

  it.each([
    ['a name', 'github-server'],
    ['a uid', '0198c0de-aaaa-7bbb-8ccc-1234567890ab'],
    ['a digest', `sha256:${'0f'.repeat(32)}`],
    ['a placeholder', 'ghp_…'],
    ['a prefix that is shown', 'mcp_pat_AbC1'],
    ['a word that ends like one', `xghp_${sixty.slice(0, 36)}`],
    ['a public key', '-----BEGIN PUBLIC KEY-----'],
    ['a header of a token alone', 'eyJhbGciOiJIUzI1NiJ9'],
  ])('is not %s', (_, text) => {
    expect(looksLikeCredential(text)).toBe(false)
    expect(maskCredentials(text)).toBe(text)
  })

  it('is told in time, whatever the text', () => {
    const started = performance.now()
    for (const part of ['eyJaaaaaaaaa.', 'xoxb-', '-----BEGIN ', '-----BEGIN PRIVATE KEY-----', 'gh', 'a'])
      maskSecrets(part.repeat(Math.ceil((256 * 1024) / part.length)))
    expect(performance.now() - started).toBeLessThan(30_000)
  })
})

describe('text that strangers have typed', () => {
  it('shows no random-looking row of letters and digits', () => {
    expect(maskSecrets('my_password is Xy7pQ2Lm9Rt4Wv6Zb1Nc8Kd3Fg5Hj0Sa!')).toBe('my_password is ***!')
    expect(maskSecrets('view:servers:0123456789abcdef0123456789abcdef')).toBe('view:servers:***')
  })

  it.each(['modelcontextprotocol', 'npm:@scope/server-everything@2026.8.31', 'my-long-server-name-of-2026', 'a1', ''])(
    'shows words: %s',
    (text) => {
      expect(maskSecrets(text)).toBe(text)
    },
  )
})
