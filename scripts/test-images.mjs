/**
 * Builds images of real MCP servers for tests, from the devDependencies that are installed here; no registry is needed.
 *   node scripts/test-images.mjs [everything|memory|filesystem|sequential-thinking …]     (default: all)
 * They are called localhost/mcpctl-test/<server>:1, and are built again only when a version in them or the base image changes.
 */
import Docker from 'dockerode'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { PassThrough, pipeline } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { pack } from 'tar-fs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const base = process.env.MCPCTL_TEST_BASE_IMAGE ?? 'localhost/mcp-node-base:20'
const servers = {
  everything: { env: [] },
  // Its default place is in the image, which is read-only.
  memory: { env: ['MEMORY_FILE_PATH=/tmp/memory.jsonl'] },
  filesystem: { env: [] },
  'sequential-thinking': { env: [] },
}

const manifestOf = (directory) => JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))

/** Where node would find a package when asked from a directory. */
const find = (name, from) => {
  for (let directory = from; directory.startsWith(root); directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', name)
    if (existsSync(join(candidate, 'package.json'))) return candidate
  }
  return undefined
}

/** Directories of a package and of everything that it needs. */
const closure = (directory, found = new Set()) => {
  if (found.has(directory)) return found
  found.add(directory)
  const { dependencies = {}, optionalDependencies = {}, peerDependencies = {} } = manifestOf(directory)
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })) {
    const dependency = find(name, directory)
    if (dependency) closure(dependency, found)
  }
  return found
}

const dockerfileOf = (name, directory) => {
  const { bin } = manifestOf(directory)
  const program = join('/app', relative(root, directory), Object.values(bin)[0])
  return [
    `FROM ${base}`,
    'WORKDIR /app',
    'COPY node_modules node_modules',
    ...servers[name].env.map((entry) => `ENV ${entry}`),
    `ENTRYPOINT ["node", "${program}"]`,
    '',
  ].join('\n')
}

const contextOf = (directories, dockerfile) => {
  const archive = pack(root, {
    // A directory inside another one comes with it.
    entries: directories
      .filter((each) => !directories.some((other) => each.startsWith(`${other}/`)))
      .map((each) => relative(root, each)),
    map: (header) => {
      header.mode |= header.type === 'directory' ? 0o755 : 0o444
      header.uid = header.gid = 0
      return header
    },
    finalize: false,
    finish: (rest) => rest.entry({ name: 'Dockerfile' }, dockerfile, () => rest.finalize()),
  })
  return pipeline(archive, new PassThrough(), () => {})
}

const finished = (docker, stream) =>
  new Promise((resolve, reject) => {
    docker.modem.followProgress(stream, (error, lines) => {
      const failed = lines?.find((line) => line.error)?.error
      if (error ?? failed) reject(error ?? new Error(failed))
      else resolve()
    })
  })

const build = async (docker, name, baseId) => {
  const image = `localhost/mcpctl-test/${name}:1`
  const directory = find(`@modelcontextprotocol/server-${name}`, root)
  if (!directory) throw new Error(`server-${name} is not installed; run npm ci`)
  const directories = [...closure(directory)]
  const dockerfile = dockerfileOf(name, directory)
  const versions = directories.map((each) => `${relative(root, each)}@${manifestOf(each).version}`).toSorted()
  const recipe = createHash('sha256')
    .update(JSON.stringify([baseId, dockerfile, versions]))
    .digest('hex')
    .slice(0, 16)
  const present = await docker
    .getImage(image)
    .inspect()
    .catch(() => undefined)
  if (present?.Config.Labels?.['mcpctl.test/recipe'] === recipe) return `${image} is up to date`
  const options = { t: image, labels: { 'mcpctl.test/recipe': recipe }, forcerm: true }
  await finished(docker, await docker.buildImage(contextOf(directories, dockerfile), options))
  return `${image} built`
}

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(servers)
const unknown = wanted.filter((name) => !Object.hasOwn(servers, name))
if (unknown.length > 0) {
  console.error(`no such server: ${unknown.join(', ')}; there are ${Object.keys(servers).join(', ')}`)
  process.exit(2)
}
const docker = new Docker()
const { Id } = await docker.getImage(base).inspect()
for (const name of wanted) console.log(await build(docker, name, Id))
