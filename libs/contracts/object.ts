/** Who an object is. `uid` is a UUIDv7 that never comes back; a name can. */
export interface Ref {
  kind: string
  name: string
  uid: string
}

/** Reason words of server and instance conditions. A closed list, so that scripts may compare. */
export type ConditionReason =
  | 'MinimumReplicasAvailable'
  | 'MinimumReplicasUnavailable'
  | 'RolloutInProgress'
  | 'RolloutComplete'
  | 'AsExpected'
  | 'ScaledToZero'
  | 'Starting'
  | 'Terminating'
  | 'ImagePullBackOff'
  | 'ImageNotFound'
  | 'PackageInstallFailed'
  | 'CrashLoopBackOff'
  | 'CreateConfigError'
  | 'RunContainerError'
  | 'PortConflict'
  | 'QuotaExceeded'
  | 'ProbeFailed'
  | 'ProtocolError'
  | 'Completed'
  | 'Error'
  | 'OOMKilled'
  | 'EngineUnavailable'
  | 'DaemonRestarted'
  | 'ProgressDeadlineExceeded'
  | 'SecretUndecryptable'
  | 'SecretRotated'
  | 'NameConflict'
  | 'NodeLost'

export type ConditionType =
  | 'Available'
  | 'Progressing'
  | 'Degraded'
  | 'SecretsReady'
  | 'SecretStale'
  | 'Undecryptable'
  | 'ImageReady'
  | 'ToolsPinned'
  | 'Ready'

export interface Condition {
  type: ConditionType
  status: 'True' | 'False' | 'Unknown'
  reason: ConditionReason
  message: string
  /** RFC 3339, UTC. */
  lastTransitionTime: string
  observedGeneration: number
}

export interface ObjectMetadata {
  name: string
  uid: string
  labels: Record<string, string>
  annotations: Record<string, string>
  /** Opaque, `<epoch>.<position>`: the event that made this version. */
  resourceVersion: string
  /** Grows when the spec changes, and only then. */
  generation: number
  createdAt: string
  createdBy: string
  /** Set while the object is being deleted. */
  deletionTimestamp?: string
}

export interface ResourceObject<Spec = Record<string, unknown>, Status = Record<string, unknown>> {
  kind: string
  metadata: ObjectMetadata
  spec: Spec
  status: Status
  /** Names of the objects that refer to this one, by plural kind. Joined at read: outside resourceVersion and watch. */
  referencedBy?: Record<string, string[]>
}

export interface ResourceList {
  kind: string
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number; accessFiltered?: boolean }
  items: ResourceObject[]
}
