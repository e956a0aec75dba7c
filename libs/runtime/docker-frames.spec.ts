import { describe, expect, it } from '@jest/globals'
import { FrameSplitter } from './docker-frames'

const frame = (stream: number, text: string) => {
  const header = Buffer.alloc(8)
  header[0] = stream
  header.writeUInt32BE(Buffer.byteLength(text), 4)
  return Buffer.concat([header, Buffer.from(text)])
}

describe('FrameSplitter', () => {
  it.each([1, 3, 8, 1000])('tells the streams apart, whatever the pieces: %i bytes', (size) => {
    const got = { stdout: '', stderr: '' }
    const splitter = new FrameSplitter((stream, chunk) => (got[stream] += chunk.toString()))
    const bytes = Buffer.concat([frame(1, 'out one'), frame(2, 'err'), frame(1, ''), frame(1, ' and two')])
    for (let at = 0; at < bytes.length; at += size) splitter.push(bytes.subarray(at, at + size))
    expect(got).toEqual({ stdout: 'out one and two', stderr: 'err' })
  })
})
