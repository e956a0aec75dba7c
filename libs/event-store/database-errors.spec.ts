import { describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { answered, asDomainError, isTransient } from './database-errors'

const postgres = (code: string) => Object.assign(new Error('as PostgreSQL words it'), { code })

describe('What the database refuses', () => {
  it.each([
    ['55P03', 'another transaction holds the log'],
    ['25006', 'the database takes no writes; connect to the primary'],
    ['25P03', 'did nothing for too long'],
    ['57014', 'cancelled because it took too long'],
    ['57P01', 'starting, stopping, or has ended the connection'],
    ['57P03', 'starting, stopping, or has ended the connection'],
    ['53300', 'no connection to spare'],
    ['53100', 'out of memory, disk or another resource'],
    ['40P01', 'another transaction came in between'],
    ['40001', 'another transaction came in between'],
    ['08006', 'the database cannot be reached'],
    ['ECONNREFUSED', 'the database cannot be reached'],
  ])('%s may pass by itself, and the message says what was tried and what stood in the way', (code, reason) => {
    const cause = postgres(code)
    const error = asDomainError(cause, 'the append') as DomainError
    expect(error).toMatchObject({ code: 'Unavailable', details: { retryAfter: 1, cause } })
    expect(error.message).toMatch(/^the append failed: .*; try again$/)
    expect(error.message).toContain(reason)
    expect([isTransient(cause), isTransient(error)]).toEqual([true, true])
  })

  it.each([
    ['54000', 'TooLarge'],
    ['22P02', 'Invalid'],
    ['22021', 'Invalid'],
  ])('%s does not, and a read is not called an append', (code, expected) => {
    const error = asDomainError(postgres(code), 'reading the log') as DomainError
    expect(error.code).toBe(expected)
    expect(error.message).toMatch(/^reading the log failed: /)
    expect(error.message).not.toContain('append')
    expect(isTransient(error)).toBe(false)
  })

  it('what was worded already, and what is a bug, stays as it is', async () => {
    const worded = asDomainError(postgres('55P03'), 'the append')
    expect(asDomainError(worded, 'reading the log')).toBe(worded)
    for (const bug of [postgres('42P01'), new TypeError('x is undefined'), undefined])
      expect(asDomainError(bug)).toBe(bug)
    await expect(answered('the append', Promise.reject(postgres('22P05')))).rejects.toBeInstanceOf(DomainError)
    expect(await answered('the append', Promise.resolve(7))).toBe(7)
  })
})
