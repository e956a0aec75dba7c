import { describe, expect, it } from '@jest/globals'
import { DomainError } from '@mcpctl/contracts'
import { specFor } from './spec-for'
import type { Decider } from '../types'

type Door = 'open' | 'closed'
type Turn = { type: 'Opened' | 'Closed'; data: object }

const door: Decider<Door, 'open' | 'close', Turn> = {
  category: 'door',
  events: {
    Opened: [],
    Closed: [],
  },
  initial: 'closed',
  decide: (command, state) => {
    if (command === 'close') return state === 'open' ? [{ type: 'Closed', data: {} }] : []
    if (state === 'open') throw new DomainError('Conflict', 'the door is open')
    return [{ type: 'Opened', data: {} }]
  },
  evolve: (_, event) => (event.type === 'Opened' ? 'open' : 'closed'),
}

const given = specFor(door)
const opened: Turn = { type: 'Opened', data: {} }
const closed: Turn = { type: 'Closed', data: {} }

describe('specFor', () => {
  it('passes what the decider does', () => {
    given().when('open').then(opened)
    given(opened).when('close').then(closed)
    given(opened, closed).when('close').thenNothing()
    given(opened).when('open').thenRefuses('Conflict', /open/)
  })

  it('fails on anything else', () => {
    expect(() => given().when('open').then(closed)).toThrow()
    expect(() => given().when('open').thenNothing()).toThrow()
    expect(() => given().when('open').thenRefuses('Conflict')).toThrow()
    expect(() => given(opened).when('open').thenRefuses('InUse')).toThrow()
    expect(() => given(opened).when('open').thenRefuses('Conflict', /shut/)).toThrow()
  })
})
