import { open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { LogLine } from './driver'

/** One file of a unit's log: runs count its starts, parts the files of a run. */
export interface LogSegment {
  run: number
  part: number
  path: string
}

const pattern = /^([0-9a-zA-Z-]+)\.(\d+)\.(\d+)\.log$/
const chunkBytes = 256 * 1024

export const segmentPath = (directory: string, uid: string, run: number, part: number): string =>
  join(directory, `${uid}.${String(run)}.${String(part)}.log`)

const isAbsent = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'

/** The segments of every unit that has a log, oldest first. */
export const listAllSegments = async (directory: string): Promise<Map<string, LogSegment[]>> => {
  const files = await readdir(directory).catch((error: unknown) => {
    if (isAbsent(error)) return []
    throw error
  })
  const all = new Map<string, LogSegment[]>()
  for (const file of files) {
    const [, uid, run, part] = pattern.exec(file) ?? []
    if (uid === undefined) continue
    const segments = all.get(uid) ?? []
    segments.push({ run: Number(run), part: Number(part), path: join(directory, file) })
    all.set(uid, segments)
  }
  for (const segments of all.values()) segments.sort((a, b) => a.run - b.run || a.part - b.part)
  return all
}

export const listSegments = async (directory: string, uid: string): Promise<LogSegment[]> =>
  (await listAllSegments(directory)).get(uid) ?? []

const parse = (line: string): LogLine[] => {
  try {
    return [JSON.parse(line) as LogLine]
  } catch {
    // A torn line: the machine or the disk gave up while it was being written.
    return []
  }
}

/** Complete lines from `offset` on, in batches, each with the offset after it. A segment that is gone has none. */
export async function* readSegment(
  segment: LogSegment,
  offset: number,
): AsyncGenerator<{ lines: LogLine[]; next: number }> {
  const file = await open(segment.path).catch((error: unknown) => {
    if (isAbsent(error)) return undefined
    throw error
  })
  if (!file) return
  try {
    let rest: Buffer = Buffer.alloc(0)
    let position = offset
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, position + rest.length)
      if (bytesRead === 0) return
      const bytes = Buffer.concat([rest, buffer.subarray(0, bytesRead)])
      const complete = bytes.lastIndexOf(10) + 1
      rest = bytes.subarray(complete)
      position += complete
      if (complete > 0)
        yield {
          lines: bytes
            .toString('utf8', 0, complete - 1)
            .split('\n')
            .flatMap(parse),
          next: position,
        }
    }
  } finally {
    await file.close()
  }
}

const lastOf = (lines: LogLine[], count: number) => (count === 0 ? [] : lines.slice(-count))

/** The last `count` lines and where each segment ended when they were read. */
export const readTail = async (
  segments: LogSegment[],
  count: number,
): Promise<{ lines: LogLine[]; end: { segment: LogSegment; offset: number } | undefined }> => {
  const newest = segments.at(-1)
  let end = newest && { segment: newest, offset: 0 }
  let lines: LogLine[] = []
  for (const segment of segments.toReversed()) {
    let own: LogLine[] = []
    for await (const batch of readSegment(segment, 0)) {
      own = lastOf(own.concat(batch.lines), count)
      if (segment === newest) end = { segment, offset: batch.next }
    }
    lines = own.concat(lines)
    if (lines.length >= count) break
  }
  return { lines: lastOf(lines, count), end }
}

/** Milliseconds since the epoch of the last write; 0 when the segment is gone. */
export const writtenAt = async (segment: LogSegment): Promise<number> =>
  stat(segment.path).then(
    (found) => found.mtimeMs,
    () => 0,
  )

export const removeSegments = async (segments: LogSegment[]): Promise<void> => {
  await Promise.all(segments.map((segment) => rm(segment.path, { force: true })))
}
