/** Waits until the condition holds; throws after five seconds. For tests. */
export const eventually = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + 5_000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`still not: ${condition.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
