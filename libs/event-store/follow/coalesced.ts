/** Runs `work` one at a time: whoever asks while it runs has it run once more afterwards, however many ask. What it throws is dropped. */
export const coalesced = (work: () => Promise<void>): (() => void) => {
  let asked = 0
  let isRunning = false
  const run = async () => {
    isRunning = true
    let seen: number
    do {
      seen = asked
      await work().catch(() => {})
    } while (seen !== asked)
    isRunning = false
  }
  return () => {
    asked++
    if (!isRunning) void run()
  }
}
