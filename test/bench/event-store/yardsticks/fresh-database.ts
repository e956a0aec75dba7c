import type { Server } from '../server'
import type { Yardstick } from './store'

const templateOf = ({ name }: Yardstick) => `template_${name.replaceAll(/[^a-z]+/g, '_')}`

const prepared = new WeakMap<Server, Map<string, Promise<void>>>()

/** A database with the yardstick's schema and nothing in it. */
export const freshDatabase = async (server: Server, yardstick: Yardstick, name: string): Promise<string> => {
  const templates = prepared.get(server) ?? new Map<string, Promise<void>>()
  prepared.set(server, templates)
  const template = templateOf(yardstick)
  const made = templates.get(template) ?? server.createDatabase(template).then((url) => yardstick.prepare(url))
  templates.set(template, made)
  await made
  return server.createDatabase(name, template)
}
