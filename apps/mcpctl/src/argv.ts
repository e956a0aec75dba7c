const bareDefaults: Record<string, string> = { '--dry-run': '--dry-run=client' }

/** What follows these is a server's own argument or a value, however much it looks like a flag of ours. */
const verbatim = new Set(['--arg', '--command', '--env', '--from-literal'])

const normalise = (word: string, before: string | undefined): string => {
  if (before !== undefined && verbatim.has(before)) return word
  const bare = bareDefaults[word]
  if (bare !== undefined) return bare
  // `-o=yaml` is kubectl's; the parser would read the value "=yaml".
  return /^-[a-zA-Z]=/.test(word) ? word.slice(0, 2) + word.slice(3) : word
}

/** Rewrites what kubectl's users type and the parser cannot know: `--dry-run` without a value, and `-o=yaml`. */
export const normaliseArguments = (words: readonly string[]): string[] => {
  const end = words.indexOf('--')
  const own = end === -1 ? words : words.slice(0, end)
  return [...own.map((word, index) => normalise(word, own[index - 1])), ...(end === -1 ? [] : words.slice(end))]
}
