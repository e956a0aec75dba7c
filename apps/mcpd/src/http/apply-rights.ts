import { forbidden, type Rights } from '@mcpctl/access'
import { DomainError, type FieldError } from '@mcpctl/contracts'
import type { CommandContext, Resource, ResourceWriter, WriteOutcome } from '@mcpctl/resource'
import type { Subject } from './admission'

/** Who applies a manifest, and what he may do. */
export interface Applier {
  subject: Subject
  rights: Rights
}

/** What a document is about, as far as rights need to know. */
export interface Named {
  plural: string
  name: string
  pointer: string
}

interface Refusal {
  error: DomainError
  pointer: string
}

/** The refusals of a manifest, all of them, as one. */
const refuse = (refusals: Refusal[]): void => {
  const [first] = refusals
  if (!first) return
  const errors = refusals.map(({ error, pointer }): FieldError => ({
    pointer,
    code: 'forbidden',
    message: error.message,
  }))
  const { message, details } = first.error
  const more = refusals.length > 1 ? ` (and ${String(refusals.length - 1)} more; nothing was applied)` : ''
  throw new DomainError('Forbidden', message + more, { ...details, errors: errors.slice(0, 100) })
}

const refusal = ({ subject }: Applier, role: 'create' | 'edit', { plural: kind, name, pointer }: Named): Refusal => ({
  error: forbidden(subject.name, { role, kind, name }),
  pointer,
})

/** Refuses, before anything is looked at or looked up, documents that the applier may neither create nor edit. Throws Forbidden. */
export const refuseHopeless = (applier: Applier, documents: readonly Named[]): void => {
  const { rights } = applier
  const may = ({ plural: kind, name }: Named) =>
    rights.allows({ role: 'create', kind, name }) || rights.allows({ role: 'edit', kind, name })
  refuse(documents.filter((document) => !may(document)).map((document) => refusal(applier, 'create', document)))
}

interface Writing {
  context: CommandContext
  writer: ResourceWriter
}

/** What exists needs edit, what does not needs create; asked before anything of the request is staged. Throws Forbidden. */
export const refuseUnlessAllowed = async (
  applier: Applier,
  documents: readonly (Named & { resource: Resource })[],
  { context, writer }: Writing,
): Promise<void> => {
  const refusals = await Promise.all(
    documents.map(async (document) => {
      const { plural: kind, name, resource } = document
      const role = (await writer.uidOf(resource, name, context)) === undefined ? 'create' : 'edit'
      return applier.rights.allows({ role, kind, name }) ? [] : [refusal(applier, role, document)]
    }),
  )
  refuse(refusals.flat())
}

/** An answer that is given again is given to who may still do what was done. Throws Forbidden. */
export const refuseReplay = (applier: Applier, outcomes: readonly WriteOutcome[]): void => {
  refuse(
    outcomes.flatMap(({ plural, name, outcome }, index) => {
      const role = outcome === 'created' ? 'create' : 'edit'
      const named = { plural, name, pointer: `/${plural}/${String(index)}` }
      return applier.rights.allows({ role, kind: plural, name }) ? [] : [refusal(applier, role, named)]
    }),
  )
}
