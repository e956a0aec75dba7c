import type { FieldError } from '@mcpctl/contracts'
import type { InstanceTemplate } from './driver'
import { legacyTransport, notSupported, reservedEnv } from './fields'

/** What a template must not ask of an engine. */
export const unsupportedByDocker = (
  template: InstanceTemplate,
  { isLocalLinux, runsPackages }: { isLocalLinux: boolean; runsPackages: boolean },
): FieldError[] => {
  const refuse = (isWanted: boolean, pointer: string, hint?: string) =>
    isWanted ? [notSupported(pointer, 'docker', hint)] : []
  const isHttp = template.transport === 'http'
  const hasFiles = (template.secretFiles ?? []).length > 0
  return [
    ...refuse(template.url !== undefined, '/spec/url'),
    ...refuse(template.package !== undefined && !runsPackages, '/spec/package', 'no node image is configured'),
    ...refuse(isHttp && !isLocalLinux, '/spec/transport', 'needs an engine on this Linux host; use stdio'),
    ...refuse(hasFiles && !isLocalLinux, '/spec/secretFiles', 'needs an engine on this Linux host; use env'),
    ...refuse(template.network?.mode === 'internal', '/spec/network', 'use none or egress'),
    ...refuse(isHttp && template.network?.mode === 'none', '/spec/network', 'mode none needs transport stdio'),
    ...legacyTransport(template, 'docker'),
    ...reservedEnv(template, 'docker'),
  ]
}
