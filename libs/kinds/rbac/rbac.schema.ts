import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger'
import { actions, entryProblem, isAccessKind, roles, rolesOfKind, type Entry } from '@mcpctl/access/entry'
import { everybody } from '@mcpctl/access/facts'
import { findKind, uidPattern, userNamePattern } from '@mcpctl/contracts'
import { Matching, NestedList, OneOf, Rule } from '@mcpctl/resource'
import { Transform } from 'class-transformer'
import { IsOptional } from 'class-validator'
import { kinds } from '../kinds'

const MAX_SUBJECTS = 1000
const MAX_ENTRIES = 1000

/** Any word for a kind as its plural, which is what rights know it by; an unknown word stays as it is. */
const pluralOf = (word: unknown): unknown => {
  if (typeof word !== 'string') return word
  const plural = findKind(kinds, word)?.plural ?? `${word.toLowerCase()}s`
  return isAccessKind(plural) ? plural : word
}

const Plural = (): PropertyDecorator => Transform(({ value }: { value: unknown }) => pluralOf(value))

const isText = (value: unknown): boolean => value === undefined || typeof value === 'string'

/** What is wrong with an entry as a whole; nothing while one of its fields is wrong in itself. */
const wholeProblem = (entry: Record<string, unknown>): string | undefined => {
  const { role, action, resource, name } = entry
  if (![role, action, resource, name].every(isText)) return undefined
  if (role !== undefined && !roles.some((known) => known === role)) return undefined
  const { name: _, ...unnamed } = entry
  // Entries are told apart by the key that they have.
  const given = Object.entries(nameProblem(name) === undefined ? entry : unnamed).filter(
    ([, value]) => value !== undefined,
  )
  return entryProblem(Object.fromEntries(given) as unknown as Entry)
}

const nameProblem = (value: unknown): string | undefined => {
  if (value === '*') return 'leave it out to mean every object of the resource'
  if (typeof value === 'string' && value.includes('*')) return 'a name is exact; leave it out to mean all'
  return typeof value === 'string' && userNamePattern.test(value) ? undefined : 'must be the name of an object'
}

/** An entry or a subject as the command line writes it. */
const wordOf = (item: unknown): string => {
  const { kind, role, action, resource, name } = (item ?? {}) as Record<string, unknown>
  const parts = [kind, role ?? action, resource, name].filter((part) => typeof part === 'string')
  return JSON.stringify(parts.join(':'))
}

const twiceProblem = (value: unknown): string | undefined => {
  if (!Array.isArray(value)) return undefined
  const seen = new Set<string>()
  for (const [index, item] of value.entries()) {
    const { kind, role, action, resource, name, uid } = (item ?? {}) as Record<string, unknown>
    const identity = JSON.stringify([kind, role, action, resource, name, uid].map((word) => word ?? null))
    if (seen.has(identity)) return `item ${String(index)} is there twice: ${wordOf(item)}`
    seen.add(identity)
  }
  return undefined
}

/** Who is granted something. */
export class Subject {
  @ApiProperty({ enum: ['User', 'Group'] })
  @OneOf('User', 'Group')
  kind!: 'User' | 'Group'

  @ApiProperty({ description: `A user or group that exists, or the group ${everybody}.` })
  @Rule('name', (value, subject) => {
    if (value === everybody && subject['kind'] === 'Group') return undefined
    return typeof value === 'string' && userNamePattern.test(value) ? undefined : 'must be the name of a user or group'
  })
  name!: string

  @ApiPropertyOptional({
    pattern: uidPattern.source,
    description: 'Shown for a subject that was deleted; not needed otherwise.',
  })
  @IsOptional()
  @Matching(uidPattern, 'be a uid as the server prints it')
  uid?: string
}

/** A role on all objects of a kind, or on one by its name. */
export class RoleBinding {
  @ApiProperty({ enum: roles })
  @OneOf(...roles)
  role!: (typeof roles)[number]

  @ApiProperty({ description: `One of ${Object.keys(rolesOfKind).join(', ')}, or * for every kind.` })
  @Plural()
  @Rule('whole-entry', (value, entry) => (value === undefined ? 'needs a resource' : wholeProblem(entry)))
  resource!: string

  @ApiPropertyOptional({ description: 'Of an object, which need not exist yet. Left out: all of them.' })
  @IsOptional()
  @Rule('name', nameProblem)
  name?: string
}

/** Something that may be done besides the roles. */
export class Operation {
  @ApiProperty({ enum: [...actions, '*'] })
  @Rule('whole-entry', (value, entry) => (value === undefined ? 'needs an action' : wholeProblem(entry)))
  action!: string

  @ApiPropertyOptional({ description: 'Left out: everywhere.' })
  @IsOptional()
  @Plural()
  @Rule('text', (value) => (typeof value === 'string' ? undefined : 'must be the plural of a kind'))
  resource?: string

  @ApiPropertyOptional({ description: 'Of an object, which need not exist yet. Left out: all of them.' })
  @IsOptional()
  @Rule('name', nameProblem)
  name?: string
}

/** Desired state of a binding: each of its subjects holds each of its entries. */
export class RbacBindingSpec {
  @ApiPropertyOptional({ type: [Subject] })
  @NestedList(() => Subject, MAX_SUBJECTS, '{ kind, name }')
  @Rule('twice', twiceProblem)
  subjects: Subject[] = []

  @ApiPropertyOptional({ type: [RoleBinding] })
  @NestedList(() => RoleBinding, MAX_ENTRIES, '{ role, resource, name }')
  @Rule('twice', twiceProblem)
  bindings: RoleBinding[] = []

  @ApiPropertyOptional({ type: [Operation] })
  @NestedList(() => Operation, MAX_ENTRIES, '{ action, resource, name }')
  @Rule('twice', twiceProblem)
  operations: Operation[] = []
}
