import { execFileSync } from 'node:child_process'

/** Brings the programs in dist up to date, once for the whole run. */
export default (): void => {
  execFileSync(process.execPath, ['scripts/build.mjs'], { stdio: 'inherit' })
}
