import type { View, ViewObject } from '@mcpctl/read-model'
import type { InstanceTemplate } from '@mcpctl/runtime'
import { secretNames } from './env-resolver.plan'
import type { ServerEvent, ServerReport, ServerState } from './server.decider'

type ServerSpecShown = InstanceTemplate & Omit<ServerState, 'template'>

export type ServerObject = ViewObject<ServerSpecShown, Partial<ServerReport> & { source: string }>

const sourceOf = ({ image, package: name, url }: InstanceTemplate) => image ?? name ?? url ?? ''

const besideTemplate = ({ replicas, strategy, secretRotation }: ServerSpecShown): Omit<ServerState, 'template'> => ({
  replicas,
  ...(strategy && { strategy }),
  ...(secretRotation && { secretRotation }),
})

const pending = { phase: 'Progressing', replicas: 0, updatedReplicas: 0, readyReplicas: 0, availableReplicas: 0 }

/** What `get` and `describe` show of a server. */
export const serverView: View<ServerObject, ServerEvent> = (server, event) => {
  if (event.type === 'ServerCreated') {
    const { name, labels, annotations, template, ...rest } = event.data
    const status = { ...pending, source: sourceOf(template) }
    return { name, labels, annotations, spec: { ...template, ...rest }, status }
  }
  if (!server) return undefined
  switch (event.type) {
    case 'ServerTemplateChanged': {
      const { template } = event.data
      const status = { ...server.status, source: sourceOf(template) }
      return { ...server, spec: { ...template, ...besideTemplate(server.spec) }, status }
    }
    case 'ServerStrategyChanged': {
      const { strategy: _, ...spec } = server.spec
      return { ...server, spec: { ...spec, ...event.data } }
    }
    case 'SecretRotationChanged': {
      const { secretRotation: _, ...spec } = server.spec
      return { ...server, spec: { ...spec, ...event.data } }
    }
    case 'ReplicasChanged':
      return { ...server, spec: { ...server.spec, replicas: event.data.replicas } }
    case 'ServerLabelled':
      return { ...server, ...event.data }
    case 'ServerStatusReported':
      // Most events are this one, and a rebuild waits for each: V8 adds a member after a spread ten times as slowly.
      return { ...server, status: Object.assign({}, event.data, { source: server.status.source }) }
    case 'ServerDeletionRequested':
      return { ...server, deletionTimestamp: event.data.at, status: { ...server.status, phase: 'Terminating' } }
    case 'ServerDeleted':
      return undefined
  }
}

/** The secrets that a server names, whether they exist or not. */
export const serverReferences = (server: ServerObject) =>
  secretNames(server.spec).map((name) => ({ kind: 'Secret', name }))
