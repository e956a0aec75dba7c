/** An npm package in exactly one version. */
export interface PackageName {
  name: string
  version: string
}

const part = '[a-z0-9~][a-z0-9._~-]*'
const pattern = new RegExp(
  `^npm:((?:@${part}/)?${part})@(\\d+\\.\\d+\\.\\d+(?:-[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?(?:\\+[0-9A-Za-z.-]+)?)$`,
)

/** Parses `npm:@scope/name@1.2.3`. Undefined for anything else, ranges and tags included. */
export const parsePackage = (text: string): PackageName | undefined => {
  const [, name, version] = (text.length <= 300 && pattern.exec(text)) || []
  return name === undefined || version === undefined ? undefined : { name, version }
}

/** A file name that no other package has: npm allows no `+` in names. */
export const safePackageName = ({ name }: PackageName): string => name.replace('/', '+')

/** `@scope/name` → `name`. */
export const unscoped = (name: string): string => name.slice(name.indexOf('/') + 1)
