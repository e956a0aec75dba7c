import type { Command } from 'commander'
import { Client, IdentityClient } from '@mcpctl/client'
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
    throw usage('a service user has no password', 'Create a token for it: mcpctl create token --user NAME')
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

const toPut = ({ metadata: { name, labels, annotations }, spec }: ResourceObject): ManifestEntry => ({
  name,
  labels,
  annotations,
  ...spec,
})

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
}

/** What the user would be. Where the daemon decides, the groups' changes are decided with it: they name a user who is not there yet. */
const rehearse = async (
  session: Session,
  { entry, style }: CreateUserRequest,
  joined: readonly ResourceObject[],
): Promise<ResourceObject> => {
  const user = await sendCreate(session, { kind: userKind, entry, locate: () => '' }, style)
  if (style.dryRun === 'server' && joined.length > 0)
    await session.client.apply({ users: [entry], groups: joined.map(toPut) }, { dryRun: true })
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
      { kind: userKind, object: await rehearse(session, request, joined) },
      ...changed.map((object) => ({ kind: groupKind, object })),
    ]
    await printCreated(session, planned, style)
    return
  }
  const password = await readNewPassword(session, request.password)
  session.announceContext()
  const user = await sendCreate(session, { kind: userKind, entry, locate: () => '' })
  for (const group of joined) await session.client.replace('groups', toPut(group), group.metadata.resourceVersion)
  await printCreated(session, [{ kind: userKind, object: user }], style)
  if (entry['type'] === 'service') session.say(`create a token for it: mcpctl create token --user ${entry.name}`)
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
