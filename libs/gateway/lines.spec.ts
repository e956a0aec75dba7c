import { describe, expect, it } from '@jest/globals'
import { streamEvents } from './event-stream'
import { LineReader } from './lines'

const read = (chunks: string[], limit = 1000) => {
  const lines: string[] = []
  const oversized: [string, string][] = []
  const listener = {
    line: (text: string) => void lines.push(text),
    oversize: (head: string, tail: string) => void oversized.push([head, tail]),
  }
  const reader = new LineReader(listener, limit)
  for (const chunk of chunks) reader.push(Buffer.from(chunk, 'latin1'))
  return { lines, oversized }
}

describe('lines', () => {
  it('come out whole however they were cut', () => {
    const text = 'one\r\n\ntwo\nthree'
    const expected = ['one', '', 'two']
    expect(read([text]).lines).toEqual(expected)
    expect(read(Array.from(text)).lines).toEqual(expected)
  })

  it('keep characters of several bytes together', () => {
    expect(read(Array.from(Buffer.from('für 日本\n').toString('latin1'))).lines).toEqual(['für 日本'])
  })

  it('are dropped when they are too long, and the next one is not', () => {
    const { lines, oversized } = read(['a'.repeat(1500), `${'b'.repeat(1500)}\nshort\n`])
    expect(lines).toEqual(['short'])
    expect(oversized).toEqual([['a'.repeat(512), 'b'.repeat(512)]])
  })

  it('may be exactly as long as the limit', () => {
    expect(read([`${'a'.repeat(1000)}\n${'a'.repeat(1001)}\n`])).toMatchObject({
      lines: ['a'.repeat(1000)],
      oversized: [[expect.anything(), expect.anything()]],
    })
  })
})

describe('an event stream', () => {
  const events = async (text: string, limit = 1000) => {
    const found = []
    async function* chunks() {
      await Promise.resolve()
      for (const char of text) yield Buffer.from(char)
    }
    for await (const event of streamEvents(chunks(), limit)) found.push(event)
    return found
  }

  it('gives data, ids and the time to wait', async () => {
    const text = ': comment\n\nid: 1\nretry: 20\ndata:\n\nevent: message\ndata: a\ndata:b\n\ndata: cut off'
    expect(await events(text)).toEqual([{ data: '' }, { id: '1', retry: 20, data: '' }, { data: 'a\nb' }])
  })

  it('ends at an event that is too large', async () => {
    await expect(events(`data: ${'x'.repeat(2000)}\n\n`)).rejects.toMatchObject({ name: 'AnswerTooLarge' })
  })
})
