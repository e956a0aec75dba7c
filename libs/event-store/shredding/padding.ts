import type { Json } from '../types'

/** Lengths show as the next so many bytes. */
const paddedTo = 64
const lengthBytes = 4

/** The bytes behind their length, filled up with zeros. */
export const measured = (bytes: Uint8Array): Buffer => {
  const length = lengthBytes + bytes.length
  const whole = Buffer.alloc(length + (-length & (paddedTo - 1)))
  whole.writeUInt32BE(bytes.length)
  whole.set(bytes, lengthBytes)
  return whole
}

/** What was measured. */
export const unmeasured = (whole: Buffer): Buffer => whole.subarray(lengthBytes, lengthBytes + whole.readUInt32BE())

/** A JSON value as text. */
export const padded = (value: Json): Buffer => {
  const text = Buffer.from(JSON.stringify(value))
  // Spaces behind a JSON text mean nothing.
  return Buffer.concat([text, Buffer.alloc(-text.length & (paddedTo - 1), ' ')])
}
