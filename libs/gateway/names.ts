import type { EndpointRef, EndpointServer } from './types'

const plain = /^[A-Za-z0-9_.-]{1,128}$/
const separator = '__'

/** The name under which an endpoint shows a server's tool or prompt, or undefined when clients could not take it. */
export const outerName = (endpoint: EndpointRef, server: string, name: string): string | undefined => {
  const outer = endpoint.kind === 'project' ? `${server}${separator}${name}` : name
  return plain.test(name) && plain.test(outer) ? outer : undefined
}

/** Whose tool or prompt an endpoint's name means. Server names hold no underscore, so the first separator ends them. */
export const innerName = (
  endpoint: EndpointRef,
  servers: EndpointServer[],
  outer: string,
): { server: EndpointServer; name: string } | undefined => {
  if (!plain.test(outer)) return undefined
  if (endpoint.kind === 'server') return servers[0] && { server: servers[0], name: outer }
  const end = outer.indexOf(separator)
  const server = servers.find(({ name }) => end !== -1 && name === outer.slice(0, end))
  const name = outer.slice(end + separator.length)
  return server && name !== '' ? { server, name } : undefined
}

/** Whether a URI is one that an RFC 6570 template could have made. */
export const matchesTemplate = (template: string, uri: string): boolean => {
  // Long templates of hostile servers would make the match slow.
  if (template.length > 1024 || uri.length > 4096) return false
  const parts = template.split(/\{[^{}]*\}/)
  let at = 0
  for (const [index, part] of parts.entries()) {
    const last = index === parts.length - 1
    const found = index === 0 ? 0 : last ? uri.length - part.length : uri.indexOf(part, at)
    if (found < at || !uri.startsWith(part, found)) return false
    at = found + part.length
  }
  return at === uri.length
}
