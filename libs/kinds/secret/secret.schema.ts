import { ApiPropertyOptional } from '@nestjs/swagger'
import { IntegerBetween, MayHoldSecret, Rule, StringList, Verbatim } from '@mcpctl/resource'
import { IsOptional } from 'class-validator'
import { maxKeys, SecretEntries } from './secret-entries.schema'
import { defaultHistoryLimit } from './secret.kind'

/** Desired state of a secret. Its values come in here and go out by `:reveal` alone. */
export class SecretSpec {
  @ApiPropertyOptional({
    type: 'object',
    maxProperties: maxKeys,
    additionalProperties: {
      oneOf: [
        { type: 'string', maxLength: 65_536 },
        {
          type: 'object',
          properties: { value: { type: 'string' }, binary: { type: 'boolean' } },
          required: ['value'],
          additionalProperties: false,
        },
        {
          type: 'object',
          properties: { keep: { type: 'boolean', enum: [true] } },
          required: ['keep'],
          additionalProperties: false,
        },
      ],
    },
    description:
      'Values by key, at most 64 KiB each and 512 KiB in all: text; bytes as { value: <base64>, binary: true }; { keep: true } for the value that is there. Never shown.',
  })
  @MayHoldSecret()
  @Verbatim((given) => new SecretEntries(given))
  @Rule('data', (value) => (value as SecretEntries).problem())
  data: SecretEntries = new SecretEntries()

  @ApiPropertyOptional({
    minimum: 1,
    maximum: 100,
    default: defaultHistoryLimit,
    description:
      'Versions that can be opened, the current one included; older ones are destroyed unless they are in use.',
  })
  @IsOptional()
  @IntegerBetween(1, 100)
  historyLimit?: number
}

/** What is to be revealed. */
export class RevealSpec {
  @ApiPropertyOptional({ minimum: 1, description: 'Default: the current version.' })
  @IsOptional()
  @IntegerBetween(1, Number.MAX_SAFE_INTEGER)
  version?: number

  @ApiPropertyOptional({ type: [String], description: 'Default: every key.' })
  @IsOptional()
  @StringList(maxKeys)
  keys?: string[]
}
