import { spawnSync } from 'node:child_process'
import { lstatSync, rmSync } from 'node:fs'
import { join, sep } from 'node:path'
import { root } from './root.mjs'

const packages = join(root, 'node_modules')
const shadow = join(packages, '.bin/node')

/**
 * A tool for tests brings a newer Node, and npm puts its `node` before the system's in the PATH of scripts. Takes it out of
 * the PATH, and if it is what runs us, goes on in the Node that runs npm. The tool is called by its path, so nothing misses it.
 */
export const leaveBundledNode = () => {
  if (lstatSync(shadow, { throwIfNoEntry: false })) rmSync(shadow)
  const own = process.env.npm_node_execpath
  if (!process.execPath.startsWith(packages + sep) || !own || own.startsWith(packages + sep)) return
  const { status } = spawnSync(own, process.argv.slice(1), { stdio: 'inherit' })
  process.exit(status ?? 1)
}
