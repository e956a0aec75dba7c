import { jsonEqual } from '@mcpctl/contracts'
import type { AiClient, Input } from './clients'
import type { ClientEntry } from './direct'
import type { JsonText } from './json-text'

const inputsOf = (file: JsonText): { id?: unknown }[] => {
  const inputs = file.at('inputs')
  return Array.isArray(inputs) ? (inputs as { id?: unknown }[]) : []
}

/** The questions that the entry needs, each once. */
export const questionsOf = ({ input }: AiClient, { blanks }: ClientEntry): Input[] =>
  input ? [...new Map(blanks.map((blank) => [blank.variable, input(blank)])).values()] : []

/** The file with the entry in it; what else stands in it stays as it is. */
export const withEntry = (file: JsonText, client: AiClient, entry: ClientEntry): JsonText => {
  const known = new Set(inputsOf(file).map(({ id }) => id))
  const missing = questionsOf(client, entry).filter(({ id }) => !known.has(id))
  const asking = missing.reduce((text, input) => text.withElement('inputs', input), file)
  return asking.withMember(client.container, entry.name, entry.entry)
}

/** Takes out the questions that came with entries and that nothing refers to any more. */
const withoutIdle = (file: JsonText, before: JsonText): JsonText => {
  const had = new Set(inputsOf(before).map(({ id }) => id))
  const idle = inputsOf(file).findIndex(
    ({ id }) => typeof id === 'string' && !had.has(id) && !file.text.includes(`\${input:${id}}`),
  )
  return idle === -1 ? file : withoutIdle(file.withoutElement('inputs', idle), before)
}

/** The file as if the entry had never been written: with what stood there under its name before, or without it. */
export const withoutEntry = (file: JsonText, client: AiClient, name: string, before: JsonText): JsonText => {
  const former = before.at(client.container, name)
  if (former !== undefined) return file.withMember(client.container, name, former)
  const after = file.without(client.container, name)
  return client.input ? withoutIdle(after, before) : after
}

/** What the file says, empty lists of servers and questions aside. */
const contentOf = (file: JsonText, { container }: AiClient): Record<string, unknown> => {
  const content = file.at() as Record<string, unknown>
  const isEmpty = (value: unknown) => ['{}', '[]'].includes(JSON.stringify(value))
  return Object.fromEntries(
    Object.entries(content).filter(([key, value]) => !([container, 'inputs'].includes(key) && isEmpty(value))),
  )
}

export const sayTheSame = (one: JsonText, other: JsonText, client: AiClient): boolean =>
  jsonEqual(contentOf(one, client), contentOf(other, client))
