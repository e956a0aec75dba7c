/** `2500 of 5000 (50%)`: full only when nothing is missing. */
export const shareText = (position: string, head: string): string => {
  const [done, all] = [BigInt(position), BigInt(head)]
  const percent = all === 0n || done >= all ? 100n : (done * 100n) / all
  return `position ${position} of ${head} (${String(percent)}%)`
}
