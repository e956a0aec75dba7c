import { GroupModule } from './group/group.module'
import { InstanceModule } from './instance/instance.module'
import { ProjectModule } from './project/project.module'
import { RbacModule } from './rbac/rbac.module'
import { SecretModule } from './secret/secret.module'
import { SecretReconciler } from './secret/secret.reconciler'
import { ServerModule } from './server/server.module'
import { ServerReconciler } from './server/server.reconciler'
import { UserModule } from './user/user.module'

/** Every kind's wiring. */
export const kindModules = [
  ServerModule,
  InstanceModule,
  SecretModule,
  ProjectModule,
  UserModule,
  GroupModule,
  RbacModule,
]

/** What the uniform path serves. */
export const resources = kindModules.map(({ resource }) => resource)

/** The kinds that something has to be done for. */
export const reconcilers = [ServerReconciler, SecretReconciler]
