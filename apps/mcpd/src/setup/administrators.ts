import { roles, type AccessFacts, type UserFact } from '@mcpctl/access'
import type { EventMeta } from '@mcpctl/event-store'
import { GroupModule } from '@mcpctl/kinds/group/group.module'
import { RbacModule } from '@mcpctl/kinds/rbac/rbac.module'
import { UserModule } from '@mcpctl/kinds/user/user.module'
import { v7 as uuidv7 } from 'uuid'
import type { CredentialChanges, Situation } from '../identity/credential-changes'

const ADMINS = 'admins'
const nobody = '00000000-0000-0000-0000-000000000000'

/** The daemon itself, when it makes the first administrator. */
export const setupMeta: EventMeta = { actor: { uid: nobody, name: 'system:setup' } }
/** Whoever has the database in his hands. */
export const recoverMeta: EventMeta = { actor: { uid: nobody, name: 'system:recover' } }

const head = (name: string) => ({ name, labels: {}, annotations: {} })
const everything = {
  bindings: roles.map((role) => ({ role, resource: '*' })),
  operations: [{ action: '*' }],
}

/** The user whom a daemon serves that nobody else has told so: the one of that name, or the only one there is. */
export const administrator = (facts: AccessFacts, name: string): UserFact | undefined => {
  const named = facts.user(facts.uidOf('User', name) ?? '')
  const all = facts.allUsers()
  return named ?? (all.length === 1 ? all[0] : undefined)
}

/**
 * Makes the administrator, the group `admins` and the binding `admins` with all that there is, where there are no bindings yet: at the first
 * start, and on a store of the time before there were any.
 */
export const makeAdministrators = (changes: CredentialChanges, name: string): Promise<void> =>
  changes.run({ meta: setupMeta }, async (situation) => {
    const { facts } = situation
    const isBare = [...facts.allRbacs()].length === 0 && facts.uidOf('Group', ADMINS) === undefined
    const isFirst = facts.allUsers().length === 0
    const known = administrator(facts, name)
    if (isBare && (isFirst || known)) await stage(situation, known ?? (await newUser(situation, name)))
    return { result: undefined }
  })

const newUser = async ({ unit }: Situation, name: string): Promise<{ uid: string; name: string }> => {
  const uid = uuidv7()
  const command = { type: 'Apply', mode: 'create', identity: head(name), desired: { type: 'human' } } as const
  await unit.decide(UserModule.decider, `user-${uid}`, command)
  return { uid, name }
}

const stage = async ({ unit }: Situation, { uid, name }: { uid: string; name: string }): Promise<void> => {
  const group = uuidv7()
  await unit.decide(GroupModule.decider, `group-${group}`, {
    type: 'Apply',
    mode: 'create',
    identity: head(ADMINS),
    desired: { description: 'may do everything', members: [{ name, uid, exists: true }] },
  })
  await grantEverything(unit, ADMINS, { kind: 'Group', name: ADMINS, uid: group })
}

/** A binding with every role on everything and every operation. */
export const grantEverything = async (
  unit: Situation['unit'],
  name: string,
  subject: { kind: 'User' | 'Group'; name: string; uid: string },
): Promise<void> => {
  await unit.decide(RbacModule.decider, `rbac-${uuidv7()}`, {
    type: 'Apply',
    mode: 'create',
    identity: head(name),
    desired: { subjects: [{ ...subject, exists: true }], ...everything },
  })
}
