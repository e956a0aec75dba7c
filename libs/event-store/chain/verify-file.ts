import { hash } from 'node:crypto'
import { ExportCheck } from '../transfer/export-check'
import { blocksOf } from '../transfer/lines'
import { Broken, broken } from './broken'
import type { EventLine } from './event-line'
import { FingerprintTable } from './fingerprint-table'
import { firstOf, sealFault, type TrustedSeals } from './seal-check'
import type { Verification } from './verification'

/**
 * Checks an export, or several that follow each other, without any database: every content hash, the chain, positions, versions, ids,
 * times, the trailer; and, where given, seals that were kept. Answers with the first position that is wrong; the message names the line.
 * An export that does not begin at position 1 is trusted for what came before it.
 *
 * Give no seals that are younger than the file: a file that ends before a sealed position counts as cut off. Seals of positions before
 * the file say nothing about it. Needs about 80 bytes of memory per event, for ids and streams. An error of `source` is thrown as it is.
 */
export const verifyFile = async (
  source: AsyncIterable<Uint8Array | string>,
  { seals }: { seals?: TrustedSeals } = {},
): Promise<Verification> => {
  const kept = seals?.kept ?? []
  const hashes = new Map(kept.map(({ position }) => [position, undefined as string | undefined]))
  const unique = new UniqueEvents()
  const check = new ExportCheck((event, from) => {
    unique.take(event, from)
    if (hashes.has(event.position)) hashes.set(event.position, event.hash)
  })
  try {
    for await (const block of blocksOf(source)) check.take(block)
    const { opening, header, last } = check.finish()
    if (hashes.has(opening.from - 1)) hashes.set(opening.from - 1, opening.previous)
    const log = { store: header.store, epoch: header.epoch, head: BigInt(last.position), hashes }
    const fault = firstOf(kept.map((seal) => sealFault(seal, seals?.keys ?? [], log)))
    if (fault) return { ok: false, ...fault }
    const events = BigInt(last.position - opening.from + 1)
    const told = [...hashes.values()].filter((hash) => hash !== undefined)
    return { ok: true, head: log.head, hash: last.hash, events, seals: told.length }
  } catch (error) {
    if (error instanceof Broken) return { ok: false, ...error.fault, message: check.describe(error) }
    throw error
  }
}

/** Ids and versions: what an event shows only beside all others. */
class UniqueEvents {
  private readonly ids = new FingerprintTable()
  private readonly versions = new FingerprintTable()

  /** `from` is where the file begins: only from 1 on is the first version of a stream known. */
  take({ id, position, streamId, version }: EventLine, from: number) {
    const twin = this.ids.exchange(id.replaceAll('-', ''), position)
    if (twin !== 0) throw broken('duplicate-id', position, 'id', `the event id is that of position ${twin}`)
    const before = this.versions.exchange(hash('sha256', streamId), version)
    if (version !== before + 1 && (before !== 0 || from === 1))
      throw broken(
        'version',
        position,
        'version',
        `the stream goes on with version ${version} instead of ${before + 1}`,
      )
  }
}
