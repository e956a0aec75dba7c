import { DomainError } from '@mcpctl/contracts'

/** Position that a resourceVersion names. Throws BadRequest when it is none, Expired when it is another epoch's. */
export const positionOf = (resourceVersion: string, epoch: number): bigint => {
  const [, ofEpoch, position] = /^(\d{1,9})\.(\d{1,18})$/.exec(resourceVersion) ?? []
  if (ofEpoch === undefined || position === undefined)
    throw new DomainError('BadRequest', `resourceVersion "${resourceVersion}" is not one of ours`)
  if (Number(ofEpoch) !== epoch)
    throw new DomainError('Expired', 'this resourceVersion is from before a restore; read the object again')
  return BigInt(position)
}

/** The position that an If-Match header names; undefined when there is none or any version will do. */
export const preconditionOf = (ifMatch: string | undefined, epoch: number): bigint | undefined =>
  ifMatch === undefined || ifMatch === '*' ? undefined : positionOf(ifMatch.replace(/^(?:W\/)?"(.*)"$/, '$1'), epoch)
