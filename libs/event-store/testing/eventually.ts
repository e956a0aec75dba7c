/**
 * Waits until the condition holds; throws after twenty seconds unless told: a limit against hanging, for a machine that has much else to
 * do. A test of how long something takes measures it. For tests.
 */
export const eventually = async (condition: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> => {
  const deadline = Date.now() + withinMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`still not: ${condition.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
