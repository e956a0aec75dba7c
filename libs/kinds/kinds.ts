import { groupKind } from './group/group.kind'
import { instanceKind } from './instance/instance.kind'
import { projectKind } from './project/project.kind'
import { rbacKind } from './rbac/rbac.kind'
import { secretKind } from './secret/secret.kind'
import { serverKind } from './server/server.kind'
import { userKind } from './user/user.kind'
import type { Kind } from '@mcpctl/contracts'

/** Every kind's contract: what clients may know. The order is the order of `get all`. */
export const kinds: readonly Kind[] = [serverKind, instanceKind, secretKind, projectKind, userKind, groupKind, rbacKind]
