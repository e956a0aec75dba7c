import type { Condition, ResourceObject } from '@mcpctl/contracts'
import type { Client } from '@mcpctl/client'
import { CliError, exit, isReason } from './errors'
import type { Target } from './targets'

const pollMs = 200

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

/** What a look at the world said: done, or what is still missing, in words for the time-out. */
export type Look = { met: true } | { met: false; missing: string; object?: ResourceObject }

export const met: Look = { met: true }
export const unmet = (missing: string): Look => ({ met: false, missing })

/** The look together with the object that it was at, so that the time-out can say more about it. */
export const lookingAt = (object: ResourceObject, look: Look): Look => (look.met ? look : { ...look, object })

const timedOut = ({ kind, name }: Target, { missing, object }: Exclude<Look, { met: true }>): CliError => {
  const text = `timed out waiting for the condition on ${kind.plural}/${name}: ${missing}`
  if (!object || kind.plural !== 'servers') return new CliError(exit.timeout, text)
  const degraded = conditionsOf(object).find(({ type, status }) => type === 'Degraded' && status === 'True')
  const why = degraded ? `Degraded=True${reasonText(degraded)}` : ''
  const more = why === '' || missing.includes(why) ? '' : `; ${why}`
  return new CliError(exit.timeout, `${text}${more}`, `see: mcpctl describe ${kind.singular}/${name}`)
}

/** Looks every 200 ms until it is done. Throws (exit 8) with the last look's words; a limit of 0 looks once. */
export const waitUntil = async (target: Target, limitMs: number, look: () => Promise<Look>): Promise<void> => {
  const deadline = performance.now() + limitMs
  for (;;) {
    const found = await look()
    if (found.met) return
    const left = deadline - performance.now()
    if (left <= 0) throw timedOut(target, found)
    await pause(Math.min(pollMs, left))
  }
}

/** The object, or undefined when there is none of that name. */
export const findObject = async (client: Client, { kind, name }: Target): Promise<ResourceObject | undefined> => {
  try {
    return await client.get(kind.plural, name)
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined
    throw error
  }
}

export const conditionsOf = (object: ResourceObject): Condition[] => {
  const conditions: unknown = object.status['conditions']
  return Array.isArray(conditions) ? (conditions as Condition[]) : []
}

const observed = (object: ResourceObject, condition: Condition): number => {
  const own: unknown = condition.observedGeneration
  const whole = object.status['observedGeneration']
  if (typeof own === 'number') return own
  return typeof whole === 'number' ? whole : object.metadata.generation
}

const reasonText = ({ reason, message }: Condition): string => {
  const text = [reason, message].filter((part) => part !== ('' as string)).join(': ')
  return text === '' ? '' : ` (${text})`
}

/** Whether the object reports the condition, for its present generation, with the wanted status. */
export const lookAtCondition = (object: ResourceObject, type: string, status: string): Look => {
  const conditions = conditionsOf(object)
  const condition = conditions.find((one) => one.type.toLowerCase() === type.toLowerCase())
  if (!condition) {
    const known = conditions.map((one) => one.type).join(', ')
    return unmet(`no condition ${type} is reported${known === '' ? '' : `; there are ${known}`}`)
  }
  if (observed(object, condition) < object.metadata.generation)
    return unmet(`the daemon has not looked at generation ${String(object.metadata.generation)} yet`)
  if (condition.status.toLowerCase() === status.toLowerCase()) return met
  return unmet(`${condition.type}=${condition.status}${reasonText(condition)}`)
}

const isSettled = (object: ResourceObject): Look => {
  const { replicas } = object.spec
  const { status } = object
  const wanted = typeof replicas === 'number' ? replicas : 0
  const count = (field: string): number => {
    const value = status[field]
    return typeof value === 'number' ? value : 0
  }
  const updated = count('updatedReplicas')
  const available = count('availableReplicas')
  const total = count('replicas')
  if (updated === wanted && available === wanted && total === wanted) return met
  return unmet(`${String(available)} of ${String(wanted)} replicas are available, ${String(total)} exist`)
}

/** Waits until the daemon has seen the newest spec and every copy that it asks for is there and ready, and no other. */
export const waitForRollout = (client: Client, target: Target, limitMs: number): Promise<void> =>
  waitUntil(target, limitMs, async () => {
    const object = await findObject(client, target)
    if (!object) return unmet('it does not exist')
    const available = lookAtCondition(object, 'Available', 'True')
    return lookingAt(object, available.met ? isSettled(object) : available)
  })

/** Waits until the object is gone; one of the same name with another uid counts as gone. */
export const waitUntilGone = (client: Client, target: Target, uid: string, limitMs: number): Promise<void> =>
  waitUntil(target, limitMs, async () => {
    const object = await findObject(client, target)
    if (object?.metadata.uid !== uid) return met
    const phase = object.status['phase']
    return unmet(`it still exists${typeof phase === 'string' ? `, ${phase}` : ''}`)
  })
