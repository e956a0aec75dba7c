import { v5 as uuidv5, v7 as uuidv7 } from 'uuid'
import type { AppendRequest, EventLog, JsonObject, NewEvent } from '@mcpctl/event-store'

const namespace = '018f0000-0000-7000-8000-00000000000c'
const meta = { actor: { uid: '018f0000-0000-7000-8000-000000000001', name: 'tester' } }

/** The uid of the server of that number, the same in every run. */
export const serverUid = (nr: number) => uuidv5(`server-${nr}`, namespace)

const event = (type: string, data: JsonObject, claims?: NewEvent['claims']): NewEvent => ({
  id: uuidv7(),
  type,
  schemaVersion: 1,
  data,
  meta,
  ...(claims && { claims }),
})

const template = { package: 'npm:echo@1.0.0', transport: 'stdio', args: ['C:\\path', 'tab\there'] }

export const created = (nr: number): NewEvent =>
  event(
    'ServerCreated',
    { name: `server-${nr}`, labels: { nr: String(nr % 3) }, annotations: {}, template, replicas: 1 },
    [{ op: 'take', scope: 'name', key: `server/server-${nr}` }],
  )

export const scaled = (replicas: number): NewEvent => event('ReplicasChanged', { from: 0, replicas })

export const reported = (ready: number): NewEvent =>
  event('ServerStatusReported', {
    phase: ready % 2 === 0 ? 'Running' : 'Progressing',
    replicas: 2,
    updatedReplicas: 2,
    readyReplicas: ready,
    availableReplicas: ready,
    observedGeneration: 1,
    conditions: [],
  })

export const labelled = (labels: Record<string, string>): NewEvent =>
  event('ServerLabelled', { labels, annotations: { note: 'größer 数' } })

export const deletionRequested = (): NewEvent => event('ServerDeletionRequested', { at: '2026-01-01T00:00:00.000Z' })

export const deleted = (nr: number): NewEvent =>
  event('ServerDeleted', {}, [{ op: 'release', scope: 'name', key: `server/server-${nr}` }])

export const toServer = (
  nr: number,
  events: NewEvent[],
  expected: AppendRequest['streams'][0]['expected'] = 'any',
) => ({
  streams: [{ streamId: `server-${serverUid(nr)}`, category: 'server', expected, events }],
})

/** Servers that are created, scaled and report; every tenth is deleted at the end, and a project names the first ones. */
export const appendServers = async (log: EventLog, { servers, changes }: { servers: number; changes: number }) => {
  const all = Array.from({ length: servers }, (_, nr) => nr)
  await Promise.all(all.map((nr) => log.append(toServer(nr, [created(nr)]))))
  for (let round = 0; round < changes; round++)
    await Promise.all(all.map((nr) => log.append(toServer(nr, [round % 4 === 3 ? scaled(round) : reported(round)]))))
  await Promise.all(all.filter((nr) => nr % 10 === 9).map((nr) => log.append(toServer(nr, [deleted(nr)]))))
  const project = { name: 'team', labels: {}, annotations: {}, servers: ['server-0', 'server-1'], members: [] }
  const claims: NewEvent['claims'] = [{ op: 'take', scope: 'name', key: 'project/team' }]
  const events = [event('ProjectCreated', project, claims)]
  await log.append({
    streams: [{ streamId: `project-${uuidv5('team', namespace)}`, category: 'project', expected: 'any', events }],
  })
}
