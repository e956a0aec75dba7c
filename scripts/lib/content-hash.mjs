import { createHash } from 'node:crypto'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { root } from './root.mjs'

const filesUnder = (path) => {
  if (!statSync(path, { throwIfNoEntry: false })) return []
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}

/** Sorted paths, relative to the repository, of the files at or under `paths` that `keep` accepts. */
export const listFiles = (paths, keep = () => true) =>
  paths
    .flatMap((path) => filesUnder(join(root, path)))
    .map((path) => relative(root, path))
    .filter(keep)
    .sort()

/** SHA-256 over names and contents, so that a renamed file counts as a change. */
export const contentHash = (files) => {
  const hash = createHash('sha256')
  for (const file of files) {
    hash.update(`${file}\0`)
    hash.update(
      createHash('sha256')
        .update(readFileSync(join(root, file)))
        .digest(),
    )
  }
  return hash.digest('hex')
}
