import { mintToken, tokenPrefix, Tokens, type Identity } from '@mcpctl/access'
import { configPath, findConfig, writeContext } from '@mcpctl/client'
import { schemaVersionOf, type EventMeta, type JsonObject, type NewEvent } from '@mcpctl/event-store'
import { UserModule } from '@mcpctl/kinds/user/user.module'
import { v7 as uuidv7 } from 'uuid'
import type { Store } from '../store/store'

const userEvents = UserModule.resource.decider
const ADMIN = 'admin'
const CONTEXT = 'local'
const nameClaim = { op: 'take', scope: 'name', key: `user/${ADMIN}` } as const
const meta: EventMeta = { actor: { uid: '00000000-0000-0000-0000-000000000000', name: 'system:setup' } }

const event = (type: 'UserCreated' | 'TokenIssued', data: JsonObject): NewEvent => ({
  id: uuidv7(),
  type,
  schemaVersion: schemaVersionOf(userEvents, type),
  data,
  meta,
})

/**
 * First start: makes the user `admin` and puts a token for it into the CLI's configuration. Later starts renew that token when it is not valid here
 * and the caller owns the file. Returns the file that was written, if any.
 */
export const ensureAdmin = async (
  store: Store,
  tokens: Tokens,
  { address, file }: { address: string; file: string | undefined },
): Promise<string | undefined> => {
  const owner = await store.log.claimOwner('name', nameClaim.key)
  const target = file ?? (owner === undefined ? configPath() : undefined)
  if (target === undefined) return undefined
  const known = findConfig(target)?.contexts[CONTEXT]
  if (owner !== undefined && known && (await tokens.identify(known.token))) {
    if (known.server === address) return undefined
    writeContext(CONTEXT, { ...known, server: address }, target)
    return target
  }
  const token = mintToken('pat')
  // Written before it is valid: a crash in between costs a token that nothing knows, never a lost one.
  writeContext(CONTEXT, { server: address, token, user: ADMIN }, target)
  if (await issue(store, { owner, token })) return target
  // Another daemon has set up the store in between, and perhaps written to the same file.
  return ensureAdmin(store, tokens, { address, file: target })
}

/** Whether the token is valid now; false when somebody else took the name first. */
const issue = async (
  store: Store,
  { owner, token }: { owner: string | undefined; token: string },
): Promise<boolean> => {
  const uid = owner?.slice('user-'.length) ?? uuidv7()
  const identity: Identity = { uid, name: ADMIN, tokenId: uuidv7() }
  const created = { ...event('UserCreated', { name: ADMIN, labels: {}, annotations: {}, type: 'human' }), claims: [nameClaim] }
  const issued = event('TokenIssued', { id: identity.tokenId, prefix: tokenPrefix(token) })
  const events = owner === undefined ? [created, issued] : [issued]
  const client = await store.pool.connect()
  try {
    await client.query('begin')
    await Tokens.store(client, token, identity)
    const expected = owner === undefined ? 'none' : 'exists'
    const streams = [{ streamId: `user-${uid}`, category: userEvents.category, expected, events } as const]
    const verdict = await store.log.appendWithin(client, { streams: streams.map((stream) => ({ ...stream })) })
    const isTaken = verdict.status === 'claim-taken'
    if (verdict.status !== 'ok' && !isTaken) throw new Error(`the token could not be issued (${verdict.status})`)
    await client.query(isTaken ? 'rollback' : 'commit')
    return !isTaken
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  } finally {
    client.release()
  }
}
