import { randomUUID } from 'node:crypto'
import { mkdir, readFile, readdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import pLimit from 'p-limit'
import { StartError } from './driver'
import { runNpm } from './npm'
import type { PackageBin } from './package-bin'
import { binsOf, chooseBin, inspectBin } from './package-bin'
import type { PackageName } from './package-name'
import { parsePackage, safePackageName } from './package-name'
import type { RuntimeLog } from './runtime-log'

const installTimeoutMs = 5 * 60 * 1000
const abandonedMs = 60 * 60 * 1000
const recordFile = 'mcpctl-package.json'

/** A package that lies ready on this machine. */
export interface InstalledPackage extends PackageName {
  /** Holds `node_modules`. */
  root: string
  /** The package's own directory below `root`. */
  directory: string
  /** Of the downloaded archive, as the lock file has it. */
  integrity: string
  bins: Record<string, string>
}

/** npm is heavy: a few at a time. */
const installs = pLimit(3)

/** Shared by everybody in this process who uses the same directory, so that parallel starts install once. */
const installing = new Map<string, Promise<InstalledPackage>>()

/**
 * npm packages, each installed once per exact version, without install scripts; offline from then on.
 * A package appears under its final name only when it is complete.
 */
export class PackageStore {
  readonly #ending = new AbortController()

  constructor(
    private readonly directory: string,
    private readonly log: RuntimeLog,
  ) {}

  /** Ends installations under way and waits for that; they leave nothing behind. */
  async close(): Promise<void> {
    this.#ending.abort()
    const ours = [...installing].filter(([root]) => dirname(root) === this.directory)
    await Promise.allSettled(ours.map(([, install]) => install))
  }

  /** Throws StartError: CreateConfigError for a malformed name, PackageInstallFailed when npm cannot install it. */
  async install(text: string): Promise<InstalledPackage> {
    const wanted = parsePackage(text)
    if (!wanted) throw new StartError('CreateConfigError', 'package must be npm:<name>@<exact version>')
    const root = join(this.directory, `${safePackageName(wanted)}@${wanted.version}`)
    const running = installing.get(root) ?? this.#findOrInstall(wanted, root).finally(() => installing.delete(root))
    installing.set(root, running)
    return running
  }

  /** The program to run: `command[0]` names it where the package leaves it open. Throws StartError CreateConfigError. */
  async bin(installed: InstalledPackage, command: string[]): Promise<PackageBin> {
    const name = chooseBin(installed.name, installed.bins, command[0])
    return inspectBin(installed.directory, name, installed.bins[name] ?? '')
  }

  async #findOrInstall(wanted: PackageName, root: string): Promise<InstalledPackage> {
    return (await this.#find(wanted, root)) ?? (await this.#install(wanted, root))
  }

  async #find(wanted: PackageName, root: string): Promise<InstalledPackage | undefined> {
    const record = await readFile(join(root, recordFile), 'utf8').catch(() => undefined)
    if (record === undefined) return undefined
    const { integrity } = JSON.parse(record) as { integrity: string }
    return describe(wanted, root, integrity)
  }

  async #install(wanted: PackageName, root: string): Promise<InstalledPackage> {
    const label = `${wanted.name}@${wanted.version}`
    await this.#removeAbandoned()
    await mkdir(this.directory, { recursive: true, mode: 0o755 })
    // Told a path with a symbolic link in it, npm writes a lock file in which the package is not found.
    const temporary = join(await realpath(this.directory), `.installing-${randomUUID()}`)
    await mkdir(temporary, { mode: 0o755 })
    try {
      this.log.info({ package: label }, 'installing package')
      await installs(() => npmInstall(wanted, temporary, this.#ending.signal))
      const integrity = await integrityOf(wanted, temporary)
      await writeFile(join(temporary, recordFile), JSON.stringify({ package: label, integrity }))
      await describe(wanted, temporary, integrity)
      await this.#publish(temporary, root)
      return await describe(wanted, root, integrity)
    } catch (error) {
      if (error instanceof StartError) throw error
      const reason = error instanceof Error ? error.message : String(error)
      throw new StartError('PackageInstallFailed', `package ${label} could not be installed: ${reason}`, {
        cause: error,
      })
    } finally {
      await rm(temporary, { recursive: true, force: true })
    }
  }

  /** Another process may have been faster; its copy is as good, if it is complete. */
  async #publish(temporary: string, root: string): Promise<void> {
    try {
      await rename(temporary, root)
    } catch (error) {
      const isComplete = await stat(join(root, recordFile)).then(
        () => true,
        () => false,
      )
      if (isComplete) return
      this.log.warn({ root, error: String(error) }, 'replacing an incomplete package')
      await rm(root, { recursive: true, force: true })
      await rename(temporary, root)
    }
  }

  /** What a killed daemon left half-done. */
  async #removeAbandoned(): Promise<void> {
    const names = await readdir(this.directory).catch(() => [])
    for (const name of names.filter((each) => each.startsWith('.installing-'))) {
      const path = join(this.directory, name)
      const found = await stat(path).catch(() => undefined)
      if (found && Date.now() - found.mtimeMs > abandonedMs) await rm(path, { recursive: true, force: true })
    }
  }
}

const npmInstall = async ({ name, version }: PackageName, directory: string, signal: AbortSignal): Promise<void> => {
  const manifest = { name: 'mcpctl-package', private: true, dependencies: { [name]: version } }
  await writeFile(join(directory, 'package.json'), JSON.stringify(manifest))
  const flags = [
    '--ignore-scripts',
    '--omit=dev',
    '--no-audit',
    '--no-fund',
    '--no-update-notifier',
    '--prefer-offline',
  ]
  const { code, output } = await runNpm(['install', ...flags, '--package-lock', '--loglevel=error'], directory, {
    timeoutMs: installTimeoutMs,
    signal,
  })
  if (code === 0) return
  throw new StartError('PackageInstallFailed', `package ${name}@${version} could not be installed: ${reasonIn(output)}`)
}

/** npm's own words without its paths and hints. */
const reasonIn = (output: string): string => {
  const lines = output
    .split('\n')
    .map((line) => line.replace(/^npm (error|ERR!)\s*/, '').trim())
    .filter((line) => line !== '' && !/^(A complete log|code |This is a problem related)/.test(line))
  return (lines.slice(0, 2).join('; ') || 'npm gave no reason').slice(0, 300)
}

const integrityOf = async ({ name }: PackageName, root: string): Promise<string> => {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages?: Record<string, { integrity?: string }>
  }
  const integrity = lock.packages?.[`node_modules/${name}`]?.integrity
  if (integrity === undefined) throw new Error('the lock file has no integrity for the package')
  return integrity
}

const describe = async (wanted: PackageName, root: string, integrity: string): Promise<InstalledPackage> => {
  const directory = join(root, 'node_modules', wanted.name)
  const { bin, version } = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as {
    bin?: unknown
    version?: string
  }
  if (version !== wanted.version) throw new Error(`npm installed version ${version ?? 'unknown'}`)
  return { ...wanted, root, directory, integrity, bins: binsOf(wanted.name, bin) }
}
