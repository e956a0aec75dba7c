/** A value as a manifest writes it: text, or any bytes as base64. */
export type WrittenValue = string | { value: string; binary: true }

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Text stays text, to the byte; what is no UTF-8, or holds a NUL, which no environment can carry, goes as base64. */
export const written = (bytes: Buffer): WrittenValue => {
  try {
    const text = utf8.decode(bytes)
    if (!text.includes('\0')) return text
  } catch {
    // Bytes that are no text.
  }
  return { value: bytes.toString('base64'), binary: true }
}

/** Whether the ends of a value look like an accident. The last line end of several lines is none: keys and certificates end like that. */
export const hasLooseEnds = (value: WrittenValue): boolean => {
  if (typeof value !== 'string') return false
  const core = value.trim()
  return core !== value && !core.includes('\n')
}

const key = /^[-._a-zA-Z0-9]{1,253}$/

/** A key may become the name of a file. */
export const isKey = (text: string): boolean => key.test(text) && text !== '.' && text !== '..'
