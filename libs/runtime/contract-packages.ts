import { readFileSync } from 'node:fs'

/** A server of the protocol's own project, in the version that the tests depend on. */
export const npmPackage = (server: string): string => {
  const name = `@modelcontextprotocol/${server}`
  const { devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    devDependencies: Record<string, string>
  }
  return `npm:${name}@${devDependencies[name] ?? ''}`
}
