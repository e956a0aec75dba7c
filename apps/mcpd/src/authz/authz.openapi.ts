import type {
  AccessQuestion,
  CanIAnswer,
  DenialRecord,
  EffectiveAccess,
  EntryRecord,
  GrantRecord,
  SubjectRecord,
  WhoCanAnswer,
} from '@mcpctl/contracts'
import type { ApiBodyOptions, ApiQueryOptions } from '@nestjs/swagger'
import { count, object, position, ref, text } from '../admin/admin.openapi'

type Schema = Record<string, unknown>

const list = (items: Schema): Schema => ({ type: 'array', items })
const instant: Schema = { type: 'string', format: 'date-time' }
const isAllowed: Schema = { type: 'boolean' }

/** Bodies and answers of the routes below `/api/v1/authz`. */
export const authzSchemas: Record<string, Schema> = {
  EntryRecord: object<EntryRecord>({ text, role: text, action: text, resource: text, name: text }, [
    'role',
    'action',
    'resource',
    'name',
  ]),
  GrantRecord: object<GrantRecord>(
    {
      entry: ref('EntryRecord'),
      rbac: { ...text, description: 'Name of the RbacBinding.' },
      list: { enum: ['bindings', 'operations'] satisfies GrantRecord['list'][] },
      index: { ...count, description: 'Its place in that list.' },
      grantedAt: instant,
      grantedBy: text,
      position,
      via: {
        ...object<NonNullable<GrantRecord['via']>>({ group: text, since: instant, by: text }, ['since', 'by']),
        description: 'The group that it comes through, and the membership.',
      },
    },
    ['via'],
  ),
  AccessQuestion: object<AccessQuestion>(
    {
      verb: { ...text, description: 'A verb of the command line, a role or an operation; or one of the next two.' },
      role: text,
      action: text,
      kind: { ...text, description: 'Any word for a kind, or *.' },
      name: text,
      user: { ...text, description: 'Whose rights; left out: those of who asks.' },
      at: { ...text, description: 'The rights of then: a position of the log, or RFC 3339.' },
    },
    ['verb', 'role', 'action', 'kind', 'name', 'user', 'at'],
  ),
  CanIAnswer: object<CanIAnswer>(
    {
      allowed: isAllowed,
      user: text,
      asked: ref('EntryRecord'),
      paths: list(ref('GrantRecord')),
      nearest: list(ref('GrantRecord')),
      remedy: { ...text, description: 'The command that would allow it.' },
      note: text,
    },
    ['remedy', 'note'],
  ),
  WhoCanAnswer: object<WhoCanAnswer>({
    asked: ref('EntryRecord'),
    users: list(object<WhoCanAnswer['users'][number]>({ user: text, paths: list(ref('GrantRecord')) })),
  }),
  EffectiveAccess: object<EffectiveAccess>(
    {
      subject: object<EffectiveAccess['subject']>({
        kind: { enum: ['User', 'Group', 'RbacBinding'] satisfies EffectiveAccess['subject']['kind'][] },
        name: text,
        uid: text,
      }),
      direct: list(ref('GrantRecord')),
      inherited: list(ref('GrantRecord')),
      enabled: isAllowed,
      memberships: list(
        object<NonNullable<EffectiveAccess['memberships']>[number]>({ name: text, since: text, by: text }),
      ),
      scopes: list(text),
      subjects: list(
        object<SubjectRecord>({
          kind: { enum: ['User', 'Group'] satisfies SubjectRecord['kind'][] },
          name: text,
          uid: text,
          state: { enum: ['Bound', 'Dangling'] satisfies SubjectRecord['state'][] },
        }),
      ),
      reaches: { ...count, description: 'Enabled users whom it reaches.' },
    },
    ['enabled', 'memberships', 'scopes', 'subjects', 'reaches'],
  ),
  DenialList: object<{ denials: DenialRecord[] }>({
    denials: list(object<DenialRecord>({ at: instant, position, asked: text, sourceAddress: text }, ['sourceAddress'])),
  }),
}

/** A question as it is sent. */
export const questionBody: ApiBodyOptions = { schema: ref('AccessQuestion') }

/** A name in the query, which may be left out. */
export const named = (name: string, description: string): ApiQueryOptions => ({
  name,
  description,
  required: false,
  schema: { type: 'string' },
})
