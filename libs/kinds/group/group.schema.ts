import { ApiExtraModels, ApiProperty, ApiPropertyOptional, getSchemaPath } from '@nestjs/swagger'
import { isObject, Matching, Rule } from '@mcpctl/resource'
import { uidPattern, userNamePattern } from '@mcpctl/contracts'
import { IsOptional } from 'class-validator'

const MAX_MEMBERS = 5000

const memberProblem = (member: unknown): string | undefined => {
  if (isObject(member)) return namedProblem(member)
  return isName(member) ? undefined : 'must be the name of a user'
}

const isName = (value: unknown): boolean => typeof value === 'string' && userNamePattern.test(value)

const namedProblem = ({ kind = 'User', name, uid, ...others }: Record<string, unknown>): string | undefined => {
  if (kind === 'Group') return 'must be a user: groups are flat, no group is a member of another'
  if (kind !== 'User' || !isName(name)) return 'must be the name of a user'
  if (uid !== undefined && !(typeof uid === 'string' && uidPattern.test(uid)))
    return 'must have a uid as the server prints it'
  const [other] = Object.keys(others)
  return other === undefined ? undefined : `has an unknown field "${other}"`
}

/** A name stands for one user and a uid for another: the one who bore the name before. */
const identityOf = (member: unknown): string =>
  isObject(member) ? JSON.stringify([member['name'], member['uid']]) : JSON.stringify([member, undefined])

const wordOf = (member: unknown): string => JSON.stringify(isObject(member) ? member['name'] : member)

const membersProblem = (value: unknown): string | undefined => {
  if (!Array.isArray(value)) return 'must be a list of user names'
  if (value.length > MAX_MEMBERS) return `must have at most ${String(MAX_MEMBERS)} items`
  const seen = new Set<string>()
  for (const [index, member] of value.entries()) {
    const identity = identityOf(member)
    const wrong = memberProblem(member) ?? (seen.has(identity) ? `is there twice: ${wordOf(member)}` : undefined)
    if (wrong !== undefined) return `item ${String(index)} ${wrong}`
    seen.add(identity)
  }
  return undefined
}

/** A member that is gone, as the server prints it. */
export class FormerMember {
  @ApiProperty()
  name!: string

  @ApiProperty({ pattern: uidPattern.source })
  uid!: string
}

/** Desired state of a group: which users are in it. What they may do is said by bindings. */
@ApiExtraModels(FormerMember)
export class GroupSpec {
  @ApiPropertyOptional({ maxLength: 4096 })
  @IsOptional()
  @Matching(/^[^\0]{0,4096}$/s, 'be text of at most 4096 characters')
  description?: string

  @ApiPropertyOptional({
    type: 'array',
    items: { oneOf: [{ type: 'string' }, { $ref: getSchemaPath(FormerMember) }] },
    description: 'Names of existing users; of one who was deleted, name and uid.',
  })
  @Rule('members', membersProblem)
  members: (string | { name: string; uid?: string })[] = []
}
