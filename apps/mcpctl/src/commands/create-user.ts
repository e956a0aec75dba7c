import type { Command } from 'commander'
import { Client, IdentityClient } from '@mcpctl/client'
import type { VersionedEntry } from '@mcpctl/client'
import type { ManifestEntry, ResourceObject } from '@mcpctl/contracts'
import type { OpenSession } from '../command-file'
import { usage } from '../errors'
import { showGlobal } from '../global-options'
import { printCreated, sendCreate } from '../manifest/create'
import type { CreateStyle } from '../manifest/create'
import { readNewPassword } from '../password'
import type { PasswordFlags } from '../password'
import type { Session } from '../session'
import { requireKind } from '../targets'
import { addMetadataOptions, entryOf } from './create-metadata'
import type { MetadataFlags } from './create-metadata'
import { addStyleOptions, styleOf } from './create-style'
import type { StyleFlags } from './create-style'
import { collect } from './flags'

interface UserFlags extends StyleFlags, MetadataFlags, PasswordFlags {
  displayName?: string
  email?: string
  group?: string[]
  service?: boolean
}

export interface CreateUserRequest {
  entry: ManifestEntry
  groups: string[]
  password: PasswordFlags
  style: CreateStyle
}

const example = 'mcpctl create user alice --email alice@example.com --group dev'

export const parseCreateUser = (words: string[], flags: UserFlags): CreateUserRequest => {
  const { displayName, email, service, passwordStdin, prompt } = flags
  if (passwordStdin && prompt) throw usage('--password-stdin and --prompt exclude each other')
  if (service && (passwordStdin || prompt))
    throw usage('a service user has no password', 'Create a token for it: mcpctl create token NAME')
  const fields = { displayName, email, type: service ? 'service' : undefined }
  return {
    entry: entryOf(words, flags, { fields, example }),
    groups: flags.group ?? [],
    password: { ...(passwordStdin && { passwordStdin }), ...(prompt && { prompt }) },
    style: styleOf(flags),
  }
}

const userKind = requireKind('user')
const groupKind = requireKind('group')

const withMember = (group: ResourceObject, user: string): ResourceObject => {
  const { members } = group.spec
  return {
    ...group,
    spec: { ...group.spec, members: [...(Array.isArray(members) ? (members as unknown[]) : []), user] },
  }
}

const toVersioned = ({ metadata, spec }: ResourceObject): VersionedEntry => {
  const { name, labels, annotations, resourceVersion } = metadata
  return { metadata: { name, labels, annotations, resourceVersion }, spec }
}

/** As of the start of the log nobody is there: whoever took the name meanwhile is not changed, and the whole is refused. */
const newcomer = (
  { name, labels = {}, annotations = {}, ...spec }: ManifestEntry,
  { metadata }: ResourceObject,
): VersionedEntry => {
  const resourceVersion = `${metadata.resourceVersion.split('.', 1)[0] ?? ''}.0`
  return { metadata: { name, labels, annotations, resourceVersion } as VersionedEntry['metadata'], spec }
}

/** Nobody is to be logged in by this: the session that comes with the first password ends at once. */
const setPassword = async (session: Session, user: string, code: string, password: string): Promise<void> => {
  const { token } = await new IdentityClient(session.client.http).setUp(user, code, password)
  const asUser = new Client({ server: session.context.server, token })
  try {
    await new IdentityClient(asUser.http).logout()
  } finally {
    asUser.close()
  }
}

/** Nobody chooses the password of somebody else, so that even whoever types it here trades a code for it. */
const giveCredential = async (
  session: Session,
  { entry: { name }, style }: CreateUserRequest,
  password: string | undefined,
): Promise<void> => {
  const { code, expiresAt } = await new IdentityClient(session.client.http).resetPassword(name)
  if (password !== undefined) return setPassword(session, name, code, password)
  const line = `setup code for ${name}, good once until ${expiresAt}: ${code}\n`
  if (style.format === 'text') session.print(line)
  else session.io.err(line)
  session.say(`with it ${name} sets a password: mcpctl login ${session.context.server} --user ${name} --setup`)
}

/**
 * Makes the user, and the groups' members with it, all or nothing. What is wrong with the user alone is asked first: that answer speaks of the
 * user, where the one of the whole speaks of a manifest that nobody has written.
 */
const makeUser = async (
  session: Session,
  { entry, style: { dryRun } }: CreateUserRequest,
  joined: readonly ResourceObject[],
): Promise<ResourceObject> => {
  const [first] = joined
  const asked = dryRun ?? (first ? 'server' : undefined)
  const user = await sendCreate(session, { kind: userKind, entry, locate: () => '' }, asked ? { dryRun: asked } : {})
  if (first && dryRun !== 'client') {
    const manifest = { users: [newcomer(entry, first)], groups: joined.map(toVersioned) }
    await session.client.apply(manifest, { dryRun: dryRun === 'server' })
  }
  return user
}

/** Groups are looked up first: a misspelt one must not leave a user behind that is in none. */
export const runCreateUser = async (session: Session, request: CreateUserRequest): Promise<void> => {
  const { entry, groups, style } = request
  const found = await Promise.all(groups.map((name) => session.client.get('groups', name)))
  const joined = found.map((group) => withMember(group, entry.name))
  if (style.dryRun) {
    const changed = style.format === 'yaml' || style.format === 'json' ? joined : []
    const planned = [
      { kind: userKind, object: await makeUser(session, request, joined) },
      ...changed.map((object) => ({ kind: groupKind, object })),
    ]
    await printCreated(session, planned, style)
    return
  }
  const password = await readNewPassword(session, request.password)
  session.announceContext()
  await printCreated(session, [{ kind: userKind, object: await makeUser(session, request, joined) }], style)
  if (entry['type'] === 'service') session.say(`create a token for it: mcpctl create token ${entry.name}`)
  else await giveCredential(session, request, password)
}

export const defineCreateUser = (command: Command, open: OpenSession, run = runCreateUser): void => {
  showGlobal(command, '--reason')
  addMetadataOptions(addStyleOptions(command))
    .summary('Create a user')
    .description('Create a user; without a password flag a one-time code is printed, with which the user sets one')
    .usage('NAME [flags]')
    .argument('[words...]')
    .option('--display-name <text>', 'how the user is called')
    .option('--email <address>', "the user's mail address")
    .option('--group <name>', 'make the user a member of this group; may be repeated', collect)
    .option('--service', 'a service user: no password, tokens only')
    .option('--password-stdin', 'read the password from stdin')
    .option('--prompt', 'ask for the password')
    .addHelpText('after', `\nExamples:\n  ${example}\n  mcpctl create user ci --service`)
    .action(async (words: string[], flags: UserFlags) => run(open(command), parseCreateUser(words, flags)))
}
