import { describe, expect, it } from '@jest/globals'
import { coalesced } from './coalesced'

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('Coalesced work', () => {
  it('runs once more for all that have asked while it ran, one at a time, whatever it throws', async () => {
    const pending: (() => void)[] = []
    const ask = coalesced(async () => {
      await new Promise<void>((resolve) => pending.push(resolve))
      throw new Error('in vain')
    })
    for (let i = 0; i < 1_000; i++) ask()
    expect(pending).toHaveLength(1)
    pending[0]?.()
    await turn()
    expect(pending).toHaveLength(2)
    pending[1]?.()
    await turn()
    expect(pending).toHaveLength(2)
    ask()
    expect(pending).toHaveLength(3)
  })
})
