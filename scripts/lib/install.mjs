import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { root } from './root.mjs'
import { leaveBundledNode } from './system-node.mjs'

const lockFile = join(root, 'package-lock.json')
const installedFile = join(root, 'node_modules/.package-lock.json')
const stampFile = join(root, 'node_modules/.mcpctl-setup')

/** A refusal with the next step in its message; `setup` prints it without a stack. */
export class SetupFailed extends Error {}

const parts = (version) => version.replace(/^v/, '').split('.').map(Number)

/** Throws SetupFailed when this Node is older than package.json's `engines.node` asks for. */
export const checkNode = (version = process.version) => {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const wanted = engines.node.replace('>=', '')
  const [major, minor] = parts(version)
  const [wantedMajor, wantedMinor] = parts(wanted)
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return
  throw new SetupFailed(
    `mcpctl needs Node.js ${wanted} or newer, and this is ${version}; install one from https://nodejs.org`,
  )
}

const fits = (allowed, actual) => allowed.includes(actual) && !allowed.includes(`!${actual}`)

const isForThisPlatform = ({ os, cpu, libc }) =>
  Boolean(os && cpu && !libc) && fits(os, process.platform) && fits(cpu, process.arch)

// npm leaves out optional parts for other platforms and whatever only those need; without this platform's the tools do not start.
const mayBeAbsent = (entry) => Boolean(entry.optional || entry.devOptional) && !isForThisPlatform(entry)

const sameTree = () => {
  const wanted = JSON.parse(readFileSync(lockFile, 'utf8')).packages
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || entry.link) return true
    const found = installed[path]
    if (!found) return mayBeAbsent(entry)
    return found.version === entry.version && found.integrity === entry.integrity
  })
}

// The second file is npm's own record: it changes with every later install or prune.
const currentStamp = () => {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`)
  for (const file of [lockFile, installedFile]) hash.update(readFileSync(file))
  return hash.digest('hex')
}

/** Whether node_modules is what package-lock.json asks for on this platform. */
export const isInstalled = () => {
  if (!existsSync(installedFile)) return false
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === currentStamp()) return true
  return sameTree()
}

const isWritable = (path) => {
  if (!existsSync(path)) return path !== dirname(path) && isWritable(dirname(path))
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

const npmCommand = () => {
  const script = process.env.npm_execpath
  if (script && /npm-cli\.[cm]?js$/.test(script)) return [process.execPath, [script]]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm', []]
}

const npmEnvironment = () => {
  const cache = process.env.npm_config_cache ?? join(homedir(), '.npm')
  if (isWritable(cache)) return process.env
  console.log(`npm's cache ${cache} cannot be written; using .cache/npm in this repository`)
  return { ...process.env, npm_config_cache: join(root, '.cache/npm') }
}

const npmCi = () => {
  const [command, args] = npmCommand()
  const { status, error } = spawnSync(command, [...args, 'ci', '--ignore-scripts', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: npmEnvironment(),
    shell: process.platform === 'win32',
  })
  if (error?.code === 'ENOENT') throw new SetupFailed('npm was not found in PATH; it comes with Node.js')
  if (error) throw error
  if (status !== 0)
    throw new SetupFailed('npm ci failed (see above); it needs the npm registry, so check the network or the proxy')
}

/** Makes node_modules match package-lock.json; needs no network when it already does. Throws SetupFailed. */
export const install = () => {
  leaveBundledNode()
  checkNode()
  if (!isWritable(join(root, 'node_modules')))
    throw new SetupFailed(
      `${join(root, 'node_modules')} cannot be written by this user; run as the owner of this folder`,
    )
  if (!isInstalled()) {
    console.log('installing the packages of package-lock.json (npm ci)')
    mkdirSync(join(root, '.cache'), { recursive: true })
    npmCi()
    leaveBundledNode()
  }
  const stamp = currentStamp()
  if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) writeFileSync(stampFile, stamp)
}
