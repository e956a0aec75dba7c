import { posix } from 'node:path'
import type { Readable } from 'node:stream'
import type { ImageFacts } from './docker-container'
import type { DockerEngine } from './docker-engine'
import { StartError } from './driver'

const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Where the program of a command can be in a container. */
const placesOf = (program: string, { env, workingDirectory }: ImageFacts): string[] => {
  if (program.includes('/')) return [posix.resolve('/', workingDirectory, program)]
  const path = env.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? usualPath
  return path.split(':').map((directory) => posix.join('/', directory, program))
}

/** The init process starts first, so the engine itself would not say that a command names no program. Throws StartError RunContainerError. */
export const checkProgram = async (
  engine: DockerEngine,
  containerId: string,
  { program, facts }: { program: string; facts: ImageFacts },
): Promise<void> => {
  for (const path of placesOf(program, facts)) {
    const found = await engine.find(
      (docker) => docker.getContainer(containerId).infoArchive({ path }) as Promise<Readable>,
    )
    // The answer has no body, but its connection stays open until somebody has read that.
    found?.resume()
    if (found) return
  }
  throw new StartError('RunContainerError', `the image has no program "${program}"`)
}
