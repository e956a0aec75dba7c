import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { findConfig, loadContext, readConfig, writeConfig, writeContext } from './config'
import { ConfigError } from './errors'
import { configPath } from './paths'

const local = { server: 'http://127.0.0.1:7777', token: 'mcp_pat_local' }
const prod = { server: 'https://mcp.example.com', token: 'mcp_pat_prod', user: 'alice', protected: true }

describe('the configuration file', () => {
  let directory: string
  let file: string
  let env: Record<string, string>

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'mcpctl-config-'))
    file = join(directory, 'below', 'config.json')
    env = { MCPCTL_CONFIG: file }
  })
  afterEach(() => {
    rmSync(directory, { recursive: true })
  })

  it('is found by MCPCTL_CONFIG, then below XDG_CONFIG_HOME', () => {
    expect(configPath(env)).toBe(file)
    expect(configPath({ XDG_CONFIG_HOME: '/x' })).toBe('/x/mcpctl/config.json')
    expect(configPath({ MCPCTL_CONFIG: '', XDG_CONFIG_HOME: '/x' })).toBe('/x/mcpctl/config.json')
  })

  it('is written for its owner alone and leaves no temporary file', () => {
    writeConfig({ currentContext: 'local', contexts: { local } }, file)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readdirSync(dirname(file))).toEqual(['config.json'])
    expect(readConfig(file)).toEqual({ currentContext: 'local', contexts: { local } })
  })

  it('keeps the current context when another one is added', () => {
    writeContext('local', local, file)
    writeContext('prod', prod, file)
    expect(readConfig(file)).toEqual({ currentContext: 'local', contexts: { local, prod } })
  })

  it('makes an added context the current one when the old one does not exist', () => {
    writeConfig({ currentContext: 'gone', contexts: {} }, file)
    writeContext('prod', prod, file)
    expect(readConfig(file).currentContext).toBe('prod')
  })

  it('answers the current context, the named one, or the one of MCPCTL_CONTEXT', () => {
    writeConfig({ currentContext: 'local', contexts: { local, prod } }, file)
    expect(loadContext({ env })).toEqual({ name: 'local', ...local })
    expect(loadContext({ env, context: 'prod' })).toEqual({ name: 'prod', ...prod })
    expect(loadContext({ env: { ...env, MCPCTL_CONTEXT: 'prod' } }).name).toBe('prod')
  })

  it('says what to run when nothing is configured', () => {
    expect(findConfig(file)).toBeUndefined()
    expect(() => loadContext({ env })).toThrow(new ConfigError('NoContext', 'no daemon is configured'))
  })

  it('suggests the context that was meant', () => {
    writeConfig({ currentContext: 'local', contexts: { local, prod } }, file)
    expect(() => loadContext({ env, context: 'prd' })).toThrow('there is no context "prd"; did you mean "prod"?')
    expect(() => loadContext({ env, context: 'constructor' })).toThrow('there is no context "constructor"')
  })

  it('does not repeat a broken file, which may hold a token', () => {
    writeConfig({ contexts: {} }, file)
    writeFileSync(file, '{ "contexts": { "local": { "token": "mcp_pat_secret" ')
    expect(() => readConfig(file)).toThrow(/is not valid JSON/)
    expect(() => readConfig(file)).not.toThrow(/mcp_pat_secret/)
  })

  it('takes another token, and needs no file when it has an address too', () => {
    writeConfig({ currentContext: 'local', contexts: { local } }, file)
    const token = 'mcp_pat_other'
    expect(loadContext({ env, token }).token).toBe(token)
    expect(loadContext({ env: {}, token, server: 'http://127.0.0.1:1' }).server).toBe('http://127.0.0.1:1')
  })

  it('warns when others can read it', () => {
    writeConfig({ currentContext: 'local', contexts: { local } }, file)
    const warnings: string[] = []
    const warn = (text: string) => warnings.push(text)
    loadContext({ env, warn })
    chmodSync(file, 0o644)
    loadContext({ env, warn })
    expect(warnings).toEqual([`${file} holds a token and can be read by other users; run: chmod 600 ${file}`])
    expect(readFileSync(file, 'utf8')).toContain('mcp_pat_local')
  })
})
