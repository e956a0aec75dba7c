import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.mjs'

/** The closed list of file roles inside libs/kinds/<kind>/, in reading order: `<kind>.<role>.ts`. */
export const kindRoles = {
  kind: 'the contract: names, verbs, columns; plain data, all that a client may import',
  schema: 'the spec: the only place where a field is described',
  decider: 'commands, events, state; `decide` and `evolve`, pure',
  commands: 'requests and their handlers: gather facts, decide, append',
  view: '(object, event) → object: what `get` and `describe` show, pure',
  plan: 'plan(desired, actual) → actions, pure',
  reader: 'what handlers and other kinds have to know beyond their streams',
  reconciler: 'observe, plan, act, report',
  controller: 'HTTP verbs that only this kind has',
  saga: 'sends commands across kinds',
  module: 'wiring',
}

/** Folder names under libs/kinds, sorted. */
export const kindFolders = (tree = root) => {
  const kinds = join(tree, 'libs/kinds')
  if (!existsSync(kinds)) return []
  return readdirSync(kinds, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort()
}

/** File names, without folder, of one kind. */
export const kindFiles = (kind, tree = root) => readdirSync(join(tree, 'libs/kinds', kind)).sort()
