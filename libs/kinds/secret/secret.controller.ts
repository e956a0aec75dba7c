import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common'
import { CommandBus } from '@nestjs/cqrs'
import { ApiBody, ApiOperation, ApiResponse } from '@nestjs/swagger'
import { DomainError, invalid, maskSecrets, notFound } from '@mcpctl/contracts'
import {
  AskedBy,
  Authorize,
  parseSpec,
  RequestRunner,
  SecretReader,
  streamOf,
  type Asked,
  type SecretSnapshot,
} from '@mcpctl/resource'
import { RevealSecret } from './secret.commands'
import { secretDecider, versionOf } from './secret.decider'
import { RevealSpec } from './secret.schema'

interface RevealedValue {
  /** Text, or base64 of what is none. */
  value: string
  binary?: true
}

interface Revealed {
  name: string
  uid: string
  version: number
  values: Record<string, RevealedValue>
}

/** What only secrets have: their values, for who may see them. */
@Controller('api/v1/secrets')
export class SecretController {
  constructor(
    private readonly requests: RequestRunner,
    private readonly commands: CommandBus,
    private readonly reader: SecretReader,
  ) {}

  /** Recorded before a value leaves, each time: an idempotency key does not make two revelations one. */
  @Authorize({ operation: 'reveal', kind: 'secrets' })
  @Post(':name(^[^:]+)::reveal')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'revealSecret',
    summary: 'The values of a secret. The one route that answers them; recorded.',
  })
  @ApiBody({ required: false, type: RevealSpec })
  @ApiResponse({ status: 200, description: 'Values by key; never cached, never stored.' })
  async reveal(@Param('name') name: string, @Body() body: unknown, @AskedBy() asked: Asked): Promise<Revealed> {
    if (asked.meta.impersonator)
      throw new DomainError('Forbidden', 'revealing a secret is not possible as somebody else (--as)')
    // It would answer the values without a record.
    if (asked.dryRun)
      throw new DomainError('BadRequest', 'revealing a secret cannot be tried: it is done, and recorded')
    const { spec, errors } = parseSpec(RevealSpec, body ?? {}, '')
    if (errors.length > 0) throw invalid('Reveal', name, errors)
    const { command: _, ...once } = asked
    return this.record(name, spec, once)
  }

  /** Opens what is asked for, records it, and answers it then. Opens anew when what was the current version has been destroyed meanwhile. */
  private async record(name: string, spec: RevealSpec, asked: Asked): Promise<Revealed> {
    const { uid, version, values } = await this.open(name, spec)
    try {
      await this.requests.run(asked, async (context) => {
        await this.commands.execute(new RevealSecret(uid, { version, keys: [...values.keys()] }, context))
        return {}
      })
    } catch (error) {
      const isOver = error instanceof DomainError && error.code === 'Expired' && spec.version === undefined
      if (!isOver) throw error
      return this.record(name, spec, asked)
    }
    return { name, uid, version, values: Object.fromEntries(values) }
  }

  /** Everything that is asked for, or nothing. */
  private async open(name: string, { version, keys }: RevealSpec) {
    const uid = await this.refuseMissing(name, version)
    const snapshot = await this.reader.read({ uid }, version)
    if (typeof snapshot === 'string') throw notFound('secrets', name)
    // Each once: what was read is overwritten.
    const wanted = new Set(keys ?? snapshot.values.keys())
    return {
      uid,
      version: snapshot.version,
      values: new Map([...wanted].map((key) => [key, shownValue(name, snapshot, key)])),
    }
  }

  private refuseMissing(name: string, version: number | undefined): Promise<string> {
    return this.requests.look(async (unit) => {
      const stream = await unit.owner('name', `secret/${name}`)
      if (stream === undefined) throw notFound('secrets', name)
      const secret = await unit.state(secretDecider, stream)
      if (secret.status === 'absent') throw notFound('secrets', name)
      versionOf(secret, version ?? secret.version)
      return stream.slice(streamOf(secretDecider.category, '').length)
    })
  }
}

const shownValue = (name: string, { version, values }: SecretSnapshot, key: string): RevealedValue => {
  const content = values.get(key)
  const details = { kind: 'secrets', name }
  if (content === undefined) {
    const had = [...values.keys()].join(', ')
    // Whatever somebody has typed: it may be a value.
    throw new DomainError(
      'NotFound',
      `secret "${name}" has no key "${maskSecrets(key).slice(0, 253)}" in version ${String(version)}; it has ${had}`,
      details,
    )
  }
  if (content === 'Undecryptable')
    throw new DomainError(
      'Unavailable',
      `key "${key}" of secret "${name}" cannot be opened: altered, or not under a key that is here`,
      details,
    )
  if (content === 'Forgotten')
    throw new DomainError('Expired', `version ${String(version)} of secret "${name}" was destroyed`, details)
  const { value, binary } = content
  const shown = value.toString(binary ? 'base64' : 'utf8')
  value.fill(0)
  return { value: shown, ...(binary && { binary: true }) }
}
