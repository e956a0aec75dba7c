import { DomainError } from '@mcpctl/contracts'
import type { SecretReader } from '@mcpctl/resource'
import { StartError, type InstanceInputs, type InstanceTemplate } from '@mcpctl/runtime'
import type { SecretVersions } from '../instance/instance.kind'
import {
  missingText,
  resolveInputs,
  wantedKey,
  wantedSecrets,
  type FoundSecret,
  type WantedSecret,
} from './env-resolver.plan'

/** Reads what an instance is to start with: always the versions that it was scheduled with, however often it starts. */
export class InstanceInputsReader {
  constructor(private readonly secrets: SecretReader | undefined) {}

  /** Throws StartError CreateConfigError or SecretUndecryptable, naming secret and key. */
  async read(template: InstanceTemplate, versions: SecretVersions = {}): Promise<InstanceInputs> {
    const found = new Map<string, FoundSecret>()
    try {
      for (const wanted of wantedSecrets(template)) found.set(wantedKey(wanted), await this.find(wanted, versions))
      const resolved = resolveInputs(template, found)
      if ('inputs' in resolved) return resolved.inputs
      const reason = resolved.missing.every((each) => each.reason === 'SecretUndecryptable')
        ? 'SecretUndecryptable'
        : 'CreateConfigError'
      throw new StartError(reason, missingText(resolved.missing))
    } finally {
      for (const secret of found.values()) wipe(secret)
    }
  }

  /** A secret that did not exist when the instance was scheduled is missing to it: once there is one, another instance is scheduled. */
  private async find({ name, version }: WantedSecret, versions: SecretVersions): Promise<FoundSecret> {
    const scheduled = versions[name]
    if (!scheduled || !this.secrets) return 'NotFound'
    try {
      return await this.secrets.read({ uid: scheduled.uid }, version ?? scheduled.version)
    } catch (error) {
      if (!(error instanceof DomainError) || error.code !== 'Unavailable') throw error
      throw new StartError('SecretUndecryptable', error.message, { cause: error })
    }
  }
}

const wipe = (secret: FoundSecret): void => {
  if (typeof secret === 'string') return
  for (const content of secret.values.values()) if (typeof content !== 'string') content.value.fill(0)
}

/** Overwrites what was only needed to start. */
export const wipeFiles = ({ files }: InstanceInputs): void => {
  for (const { content } of files) content.fill(0)
}
