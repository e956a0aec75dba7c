import type { FieldError } from '@mcpctl/contracts'
import type { DriverName, InstanceTemplate } from './driver'

/** The refusal of a field that a driver cannot enforce; `hint` says what to do instead. */
export const notSupported = (pointer: string, driver: DriverName, hint?: string): FieldError => ({
  pointer,
  code: 'not-supported',
  message: `not supported by driver ${driver}${hint === undefined ? '' : `: ${hint}`}`,
})

/** Drivers find their own processes and containers by variables of this prefix. */
export const reservedEnv = (template: InstanceTemplate, driver: DriverName): FieldError[] => {
  const refuse = (name: string, pointer: string) =>
    name.startsWith('MCPCTL_') ? [notSupported(pointer, driver, 'names that begin with MCPCTL_ are reserved')] : []
  return [
    ...template.env.flatMap(({ name }, index) => refuse(name, `/spec/env/${String(index)}/name`)),
    ...(template.secretFiles ?? []).flatMap(({ env }, index) => refuse(env, `/spec/secretFiles/${String(index)}/env`)),
  ]
}

/** The legacy transport has no connection yet. */
export const legacyTransport = (template: InstanceTemplate, driver: DriverName): FieldError[] =>
  template.transport === 'sse' ? [notSupported('/spec/transport', driver, 'use http or stdio')] : []
