/** Waits until the condition holds; throws after five seconds unless told. For tests. */
export const eventually = async (condition: () => boolean | Promise<boolean>, withinMs = 5_000): Promise<void> => {
  const deadline = Date.now() + withinMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`still not: ${condition.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
