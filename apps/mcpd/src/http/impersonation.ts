import { DomainError } from '@mcpctl/contracts'
import type { FastifyRequest } from 'fastify'

/** As whom somebody wants to act. */
export interface Impersonation {
  user: string
  /** Groups besides those that the user is in. */
  groups: readonly string[]
}

const USER = 'impersonate-user'
const GROUP = 'impersonate-group'
const MOST_GROUPS = 64
const NAME = /^[^\p{Cc}\s]{1,253}$/u

/** Every value that a header was sent with; node joins some of them, and drops others. */
const sent = ({ raw }: FastifyRequest, name: string): string[] =>
  raw.rawHeaders.filter((_, index, all) => index % 2 === 1 && all[index - 1]?.toLowerCase() === name)

/** What the impersonation headers ask for; undefined without them. Throws BadRequest where they are not plain. */
export const impersonationOf = (request: FastifyRequest): Impersonation | undefined => {
  const unknown = Object.keys(request.headers).find(
    (name) => name.startsWith('impersonate-') && name !== USER && name !== GROUP,
  )
  if (unknown !== undefined) throw new DomainError('BadRequest', `header ${unknown} is not supported`)
  const users = sent(request, USER)
  // One daemon hands requests on to another, with what was several headers in one.
  const groups = sent(request, GROUP).flatMap((names) => names.split(/ *, */))
  const [user] = users
  if (user === undefined && groups.length === 0) return undefined
  if (user === undefined || users.length > 1)
    throw new DomainError('BadRequest', 'send Impersonate-User once, with Impersonate-Group too')
  if (![user, ...groups].every((name) => NAME.test(name)) || groups.length > MOST_GROUPS)
    throw new DomainError('BadRequest', 'an impersonation header must hold one name')
  return { user, groups }
}
