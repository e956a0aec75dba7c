import type { EventMeta, NewEvent } from '@mcpctl/event-store'

const meta: EventMeta = {
  actor: { uid: '018f0000-0000-7000-8000-000000000001', name: 'system:reconciler' },
  correlationId: '018f0000-0000-7000-8000-000000000003',
  userAgent: 'mcpd/0.1.0 linux-x64',
}

const template = {
  image: 'ghcr.io/example/server-github@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  transport: 'stdio',
  command: [],
  args: ['--read-only'],
  env: [{ name: 'LOG_LEVEL', value: 'info' }],
}

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0')

export const uidOf = (server: number) => `018f0000-0000-7000-8000-${hex(server, 12)}`

const createdOf = (server: number): Pick<NewEvent, 'type' | 'data' | 'claims'> => {
  const name = `server-${server}`
  return {
    type: 'ServerCreated',
    data: { name, labels: { team: `team-${server % 10}` }, annotations: {}, template, replicas: 2 },
    claims: [{ op: 'take', scope: 'name', key: `server/${name}` }],
  }
}

const statusOf = (version: number): Pick<NewEvent, 'type' | 'data'> => {
  const ready = version % 3
  const at = new Date(1_767_225_600_000 + version * 1000).toISOString()
  return {
    type: 'ServerStatusReported',
    data: {
      phase: ready === 2 ? 'Running' : 'Progressing',
      replicas: 2,
      updatedReplicas: 2,
      readyReplicas: ready,
      availableReplicas: ready,
      observedGeneration: version,
      driver: 'docker',
      conditions: [
        {
          type: 'Ready',
          status: ready === 2 ? 'True' : 'False',
          lastTransitionTime: at,
          reason: 'Observed',
          message: '',
        },
      ],
    },
  }
}

const bodyOf = (server: number, version: number): Pick<NewEvent, 'type' | 'data' | 'claims'> => {
  if (version === 1) return createdOf(server)
  if (version % 4 === 0) return { type: 'ReplicasChanged', data: { from: version - 4, replicas: version } }
  return statusOf(version)
}

/** The `version`-th event of a server: created once, then status reports with a change of replicas now and then. The same each time. */
export const serverEvent = (server: number, version: number): NewEvent => {
  // By version first: ids grow with time, as those of version 7 do.
  const id = `018f${hex(version >>> 16, 4)}-${hex(version & 0xffff, 4)}-7000-8000-${hex(server, 12)}`
  return { id, schemaVersion: 1, meta, ...bodyOf(server, version) }
}
