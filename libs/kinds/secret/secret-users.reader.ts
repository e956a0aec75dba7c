import { Injectable } from '@nestjs/common'
import { Objects } from '@mcpctl/read-model'
import type { InstanceSpec } from '../instance/instance.kind'
import { pinnedVersions, type SecretReferences } from '../server/server.kind'

/** Who uses a secret. As the views show it: whoever begins to use it at this moment may be missed. */
@Injectable()
export class SecretUsers {
  constructor(private readonly objects: Objects) {}

  /** Names of the servers that name a secret. */
  async servers(name: string): Promise<string[]> {
    return (await this.namedBy(name)).map(({ metadata }) => metadata.name)
  }

  /** Versions that a server pins or an instance was given, whatever became of it since. */
  async versions({ name, uid }: { name: string; uid: string }): Promise<number[]> {
    const servers = await this.namedBy(name)
    const instances = await this.objects.where('Instance', ['spec', 'secrets', name, 'uid'], uid)
    const given = instances.flatMap(({ spec }) => {
      const { secrets, template } = spec as unknown as InstanceSpec
      return [secrets?.[name]?.version ?? [], pinnedVersions(template, name)].flat()
    })
    const pinned = servers.flatMap(({ spec }) => pinnedVersions(spec as unknown as SecretReferences, name))
    return [...new Set([...given, ...pinned])]
  }

  private async namedBy(name: string) {
    const uids = await this.objects.referrersOf({ kind: 'Secret', name }, 'Server')
    const servers = await Promise.all(uids.map((uid) => this.objects.findByUid(uid)))
    return servers.filter((server) => server !== undefined)
  }
}
