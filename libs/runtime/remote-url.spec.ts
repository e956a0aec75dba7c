import { describe, expect, it } from '@jest/globals'
import { BlockedAddress, checkRemoteHost, checkRemoteUrl, isBlockedAddress } from './remote-url'

const strict = { allowLoopback: false }
const development = { allowLoopback: true }
const codes = (url: string, policy = strict) => checkRemoteUrl(url, policy).map(({ code }) => code)

describe('URL of a remote server', () => {
  it.each([
    'https://mcp.example.com/mcp',
    'https://mcp.example.com:8443',
    'https://93.184.216.34/',
    'https://[2606:4700::1111]/',
  ])('%s is accepted', (url) => {
    expect(codes(url)).toEqual([])
  })

  it.each([
    ['nonsense', 'url'],
    ['/mcp', 'url'],
    ['file:///etc/passwd', 'url-scheme'],
    ['http://mcp.example.com/', 'url-scheme'],
    ['https://user:secret@mcp.example.com/', 'url-credentials'],
    ['https://token@mcp.example.com/', 'url-credentials'],
    ['https://localhost/', 'url-address'],
    ['https://x.localhost./', 'url-address'],
    ['https://127.0.0.1/', 'url-address'],
    ['https://0x7f.1/', 'url-address'],
    ['https://2130706433/', 'url-address'],
    ['https://0.0.0.0/', 'url-address'],
    ['https://10.1.2.3/', 'url-address'],
    ['https://192.168.0.1/', 'url-address'],
    ['https://169.254.169.254/latest/meta-data', 'url-address'],
    ['https://[::1]/', 'url-address'],
    ['https://[::ffff:169.254.169.254]/', 'url-address'],
    ['https://[::ffff:7f00:1]/', 'url-address'],
    ['https://[fe80::1]/', 'url-address'],
    ['https://[fd00:ec2::254]/', 'url-address'],
    ['https://[64:ff9b::a9fe:a9fe]/', 'url-address'],
    ['https://metadata.google.internal/', 'url-address'],
    ['http://127.0.0.1:3000/mcp', 'url-scheme'],
  ])('%s is refused: %s', (url, code) => {
    expect(codes(url)).toEqual([code])
  })

  it('never repeats the credentials', () => {
    expect(JSON.stringify(checkRemoteUrl('https://user:hunter2@x.example/', strict))).not.toContain('hunter2')
  })

  it.each(['http://127.0.0.1:3000/mcp', 'http://localhost:3000/', 'http://[::1]/', 'https://localhost/'])(
    '%s is accepted where loopback is allowed',
    (url) => {
      expect(codes(url, development)).toEqual([])
    },
  )

  it.each(['http://10.0.0.1/', 'https://10.0.0.1/', 'https://[::ffff:10.0.0.1]/', 'http://mcp.example.com/'])(
    '%s is refused even where loopback is allowed',
    (url) => {
      expect(codes(url, development)).not.toEqual([])
    },
  )

  it('is checked again once its name is resolved', async () => {
    await expect(checkRemoteHost('https://localhost/', strict)).rejects.toThrow(BlockedAddress)
    await checkRemoteHost('https://localhost/', development)
    await checkRemoteHost('https://name.invalid/', strict)
  })

  it.each(['224.0.0.1', '255.255.255.255', '100.64.0.1', 'ff02::1', '2002:7f00:1::', '::'])(
    '%s is not public',
    (address) => {
      expect(isBlockedAddress(address, development)).toBe(true)
    },
  )
})
