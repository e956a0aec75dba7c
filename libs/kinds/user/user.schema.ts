import { ApiPropertyOptional } from '@nestjs/swagger'
import { Matching, OneOf, Rule } from '@mcpctl/resource'
import { IsOptional } from 'class-validator'

/** Desired state of a user. Credentials are no part of it. */
export class UserSpec {
  @ApiPropertyOptional({
    enum: ['human', 'service'],
    default: 'human',
    description: 'A service user has tokens only. Cannot be changed.',
  })
  @IsOptional()
  @OneOf('human', 'service')
  type?: 'human' | 'service'

  @ApiPropertyOptional({ maxLength: 256 })
  @IsOptional()
  @Matching(/^[^\u0000-\u001f\u007f-\u009f]{0,256}$/, 'be at most 256 characters on one line')
  displayName?: string

  @ApiPropertyOptional({ maxLength: 254, example: 'alice@example.com' })
  @IsOptional()
  @Matching(/^([^\s@]{1,128}@[^\s@]{1,125})?$/, 'be an address like alice@example.com')
  email?: string

  @ApiPropertyOptional({
    description:
      'Whether the user may come in. Default: true for a new user, as it is for others. Disabling ends sessions and tokens.',
  })
  @IsOptional()
  @Rule('boolean', (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'))
  enabled?: boolean
}
