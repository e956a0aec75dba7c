import { usage } from '../errors'
import { readLocalFile } from '../local-file'

/** Something that is sent, and where the user has it from. */
export interface Told {
  text: string
  /** Flag, file and line. */
  from: string
}

/** The lines of files of seals. Throws usage errors that name flag and file. */
export const sealsIn = (files: readonly string[]): Told[] =>
  files.flatMap((file) => {
    const lines = readLocalFile(file, '--seal', 'name a file with a seal on each line').split(/\r?\n/)
    const seals = lines.map((text, index) => ({ text, from: `--seal: "${file}", line ${String(index + 1)}` }))
    const found = seals.filter(({ text }) => text !== '')
    if (found.length === 0) throw usage(`--seal: "${file}" holds no seal`)
    return found
  })

/** Public keys. A private key that was named by mistake goes nowhere. Throws usage errors that name flag and file. */
export const keysIn = async (files: readonly string[]): Promise<Told[]> => {
  const { createPublicKey } = await import('node:crypto')
  const isPublic = (text: string): boolean => {
    try {
      return createPublicKey(text).asymmetricKeyType === 'ed25519'
    } catch {
      return false
    }
  }
  return files.map((file) => {
    const next = 'name a file with the public Ed25519 key in PEM: it begins with -----BEGIN PUBLIC KEY-----'
    const text = readLocalFile(file, '--seal-key', next)
    if (text.includes('PRIVATE')) throw usage(`--seal-key: "${file}" holds a private key`, next)
    if (!isPublic(text)) throw usage(`--seal-key: "${file}" holds no public Ed25519 key in PEM`, next)
    return { text, from: `--seal-key: "${file}"` }
  })
}
