/** Rotates the key-encryption key, or wraps data keys anew, as another daemon would: `vault-process DATABASE FILE rotate|rewrap`. Prints each step. */
import { createPool } from '@mcpctl/postgres'
import { KeyFile, Vault } from '@mcpctl/vault'

const [, , url = '', file = '', verb] = process.argv
const pool = createPool(url, { applicationName: 'vault', role: 'mcpd_app', max: 4 })
const vault = new Vault(pool, new KeyFile(file))
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)
if (verb === 'rotate')
  for (;;) {
    say(await vault.rotate())
    for await (const _ of vault.rewrap());
    say({ retired: await vault.retire() })
  }
for await (const { done } of vault.rewrap()) say({ done })
await pool.end()
