import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { channels, written } from './canary-channels'
import { forgotten, listedCommands, runAll } from './canary-commands'
import { wrongLines } from './canary-lines'
import { mistakes } from './canary-mistakes'
import { askAll, unasked } from './canary-routes'
import { end, play, type Told } from './canary-story'
import { CanaryWorld } from './canary-world'

const tryParse = (line: string): unknown => {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/**
 * Values of secrets are stored, rotated, used, revealed once and typed into wrong places by a daemon, its commands and an instance that are all as they
 * are; then everything that came out of them is searched.
 */
describe('values of secrets', () => {
  let world: CanaryWorld
  let told: Told
  let listed: string[]

  beforeAll(async () => {
    world = await CanaryWorld.create()
    told = await play(world, async () => {
      for (const [what, status, request] of mistakes) {
        const asked = await world.ask(...request(world.canaries))
        refusals.set(what, { wanted: status, got: asked.status, text: asked.text })
      }
      for (const [what, code, words, input] of wrongLines) {
        const ran = await world.type(input?.(world.canaries) ?? '', ...words(world.canaries))
        refusals.set(what, { wanted: code, got: ran.code, text: ran.err })
      }
      await askAll(world)
      const file = join(world.evidence, 'again.yaml')
      await writeFile(file, 'secrets:\n- name: canary\n  data:\n    token: { keep: true }\n', { mode: 0o600 })
      listed = await listedCommands(world)
      await runAll(world, file)
    })
    await end(world)
  }, 600_000)
  afterAll(() => world.remove(), 60_000)

  const refusals = new Map<string, { wanted: number; got: number | null; text: string }>()

  it('reach the program that is to have them, before and after a rotation and a crash', () => {
    const { old, current, kept } = world.canaries
    const PEM = kept.value
    expect(told.given).toEqual([old, current, current].map(({ value }) => ({ TOKEN: value, PEM })))
  })

  it('are answered where they are to be revealed, and would be found', () => {
    expect(world.canaries.find(told.revealed, 'the answer')).toContainEqual(
      expect.stringMatching(/^"current", JSON-escaped/),
    )
    expect(world.canaries.find(told.shown, 'the output')).toContainEqual(expect.stringMatching(/^"kept", raw/))
    const instances = world.processes.filter(({ isInstance }) => isInstance).map(({ environ }) => environ)
    expect(world.canaries.find(instances.join('\n'), 'environments')).toContainEqual(
      expect.stringMatching(/^"current", raw/),
    )
  })

  it.each(mistakes.map(([what, status]): [number, string] => [status, what]))('are refused with %i %s', (_, what) => {
    const { wanted, got, text } = refusals.get(what) ?? { wanted: 0, got: 0, text: '' }
    expect({ got, text }).toEqual({ got: wanted, text })
    expect(world.canaries.find(text, 'the answer')).toEqual([])
  })

  it.each(wrongLines.map(([what, code]): [number, string] => [code, what]))(
    'on the command line end with %i: %s',
    (_, what) => {
      const { wanted, got, text } = refusals.get(what) ?? { wanted: 0, got: 0, text: '' }
      expect({ got, text }).toEqual({ got: wanted, text })
      expect(world.canaries.find(text, 'what it printed')).toEqual([])
    },
  )

  it('have no command and no route that this does not look at', () => {
    expect(listed).toContain('get')
    expect(listed).toContain('admin verify')
    expect(forgotten(listed, world.ran)).toEqual([])
    expect(unasked(world)).toEqual([])
  })

  it.each(channels)('are not in %s', async (name, shows, gather) => {
    const found = await gather(world, told)
    expect(found.toString()).toMatch(shows)
    expect(world.canaries.find(found, name)).toEqual([])
  })

  it('B41: stand in no line of the log that is anything but one object, whatever was sent', async () => {
    const lines = (await world.sandbox.log()).trimEnd().split('\n')
    expect(lines.filter((line) => typeof tryParse(line) !== 'object')).toEqual([])
  })

  it('are not in any file that was written: data, logs, temporary files, caches', async () => {
    const { files, hits } = await world.canaries.inDirectory(written(world))
    expect(files).toBeGreaterThan(500)
    expect(hits).toEqual([])
  }, 300_000)

  it('are not left in shared memory', async () => {
    expect(world.secretFiles).not.toEqual([])
    expect(await Promise.all(world.secretFiles.map((path) => stat(path).catch(() => 'gone')))).toEqual(
      world.secretFiles.map(() => 'gone'),
    )
  })
})
