import type { FieldError } from '@mcpctl/contracts'
import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { BlockList, isIP } from 'node:net'

/** Which addresses a remote server may have. */
export interface RemotePolicy {
  /** For development: plain http and addresses of this machine, but of no other private network. */
  allowLoopback: boolean
}

const pointer = '/spec/url'
const refused = (code: string, message: string): FieldError[] => [{ pointer, code, message }]

/** Ranges that are not the public internet (IANA's special-purpose registries): private, link-local, metadata, multicast, reserved. */
const blocked4 = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  blocked4.addSubnet(net, bits, 'ipv4')
// A list of its own: an IPv4 address would match `::` as the IPv6 address that maps it.
const blocked6 = new BlockList()
// Only global unicast (2000::/3) is public; of that, documentation, Teredo and 6to4, which carry an IPv4 address, are not.
for (const [net, bits] of [
  ['::', 3],
  ['4000::', 2],
  ['8000::', 1],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
] as const)
  blocked6.addSubnet(net, bits, 'ipv6')

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

const isIn = (list: BlockList, address: string) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')

/** Whether a remote server may not have this IP address. */
export const isBlockedAddress = (address: string, { allowLoopback }: RemotePolicy): boolean =>
  isIn(loopback, address)
    ? !allowLoopback
    : isIn(blocked4, address) || (isIP(address) === 6 && blocked6.check(address, 'ipv6'))

const isLocalName = (host: string) => host === 'localhost' || host.endsWith('.localhost')
const isMetadataName = (host: string) => /^(metadata|instance-data)(\.|$)|\.internal$/.test(host)

const hostOf = (url: URL) => url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')

const isLoopbackHost = (host: string) => isLocalName(host) || (isIP(host) > 0 && isIn(loopback, host))

const isForbiddenHost = (host: string, policy: RemotePolicy) =>
  isMetadataName(host) || (isIP(host) > 0 && isBlockedAddress(host, policy))

const isForbiddenScheme = ({ protocol }: URL, mayBePlain: boolean) =>
  protocol !== 'https:' && !(protocol === 'http:' && mayBePlain)

/** What is wrong with the URL of a remote server, as far as can be told without asking DNS. */
export const checkRemoteUrl = (text: string, policy: RemotePolicy): FieldError[] => {
  if (!URL.canParse(text)) return refused('url', 'must be an absolute https URL')
  const url = new URL(text)
  const host = hostOf(url)
  const isLoopback = isLoopbackHost(host)
  if (url.username !== '' || url.password !== '')
    return refused('url-credentials', 'must not hold credentials; a URL is no place for a secret')
  if (isForbiddenScheme(url, isLoopback && policy.allowLoopback)) return refused('url-scheme', 'must be an https URL')
  if (isLoopback && !policy.allowLoopback) return refused('url-address', 'must not point to this machine')
  if (isForbiddenHost(host, policy))
    return refused('url-address', 'must not point to a private, link-local or metadata address')
  return []
}

/**
 * `dns.lookup` that finds public addresses only, to be used for connecting: the address that was checked is then the address that is connected to,
 * whatever DNS says a moment later.
 */
export const guardedLookup =
  (policy: RemotePolicy): LookupFunction =>
  (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) {
        callback(error, [])
        return
      }
      const [first, ...rest] = addresses
      if (!first || [first, ...rest].some(({ address }) => isBlockedAddress(address, policy)))
        callback(new BlockedAddress(`${hostname} resolves to an address that is not public`), [])
      else if (options.all) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }

/** A remote server's name leads to a private, link-local or metadata address. */
export class BlockedAddress extends Error {
  override readonly name = 'BlockedAddress'
}

/** Throws BlockedAddress when the URL's host resolves to an address that is not public; a name that does not resolve passes. */
export const checkRemoteHost = async (text: string, policy: RemotePolicy): Promise<void> => {
  const host = hostOf(new URL(text))
  if (isIP(host) > 0) return
  await new Promise<void>((resolve, reject) => {
    guardedLookup(policy)(host, { all: true }, (error) => {
      if (error instanceof BlockedAddress) reject(error)
      else resolve()
    })
  })
}
