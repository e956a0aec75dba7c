import { DomainError } from '@mcpctl/contracts'

/** Stands for a value that nobody can read any more, because its subject was forgotten. */
export class Forgotten {
  readonly forgotten = true

  constructor(
    readonly subject: string,
    /** RFC 3339, UTC, microseconds. */
    readonly at: string,
  ) {}
}

const reasons = {
  'no-key': 'the key that it was sealed with is not in this store; import the keys of the backup that it came from',
  'wrong-key': 'its key is wrapped with another key-encryption key; give the one it was made with',
  altered: 'the value or its key was altered, or stands in another place than it was sealed for',
}

/** A value, or the key of a subject that is not forgotten, cannot be decrypted. Says neither key nor value. */
export class Undecryptable extends DomainError {
  constructor(
    readonly subject: string,
    readonly reason: keyof typeof reasons,
  ) {
    super('Conflict', `a value of subject "${subject}" cannot be decrypted: ${reasons[reason]}`)
  }
}
