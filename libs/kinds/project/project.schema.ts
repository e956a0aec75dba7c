import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger'
import { Matching, NestedList, OneOf, Rule } from '@mcpctl/resource'
import { serverNamePattern, userNamePattern } from '@mcpctl/contracts'
import { IsOptional } from 'class-validator'

const MAX_SERVERS = 1000
const MAX_MEMBERS = 1000

const serversProblem = (value: unknown): string | undefined => {
  if (!Array.isArray(value)) return 'must be a list of server names'
  if (value.length > MAX_SERVERS) return `must have at most ${String(MAX_SERVERS)} items`
  const wrong = value.findIndex((name) => typeof name !== 'string' || !serverNamePattern.test(name))
  if (wrong !== -1) return `item ${String(wrong)} must be the name of a server`
  const twice = value.find((name, index) => value.indexOf(name) !== index) as string | undefined
  return twice === undefined ? undefined : `names "${twice}" twice`
}

const membersProblem = (value: unknown): string | undefined => {
  if (!Array.isArray(value)) return undefined
  const ids = (value as (Partial<Member> | null)[]).map((member) => JSON.stringify([member?.kind, member?.name]))
  const twice = ids.findIndex((id, index) => ids.indexOf(id) !== index)
  return twice === -1 ? undefined : `item ${String(twice)} is there twice`
}

/** Somebody who is told about a project. Carries no permission. */
export class Member {
  @ApiProperty({ enum: ['User', 'Group'] })
  @OneOf('User', 'Group')
  kind!: 'User' | 'Group'

  @ApiProperty()
  @Matching(userNamePattern, 'be the name of a user or group')
  name!: string
}

/** Desired state of a project: the servers that one endpoint offers. */
export class ProjectSpec {
  @ApiPropertyOptional()
  @IsOptional()
  @Rule('text', (value) =>
    typeof value === 'string' && value.length <= 4096 && !value.includes('\0')
      ? undefined
      : 'must be text of at most 4096 characters',
  )
  description?: string

  @ApiPropertyOptional({ type: [String], description: 'Names of existing servers.' })
  @Rule('servers', serversProblem)
  servers: string[] = []

  @ApiPropertyOptional({ type: [Member] })
  @NestedList(() => Member, MAX_MEMBERS, '{ kind, name }')
  @Rule('members', membersProblem)
  members: Member[] = []
}
