import { describe, expect, it } from '@jest/globals'
import { Sessions } from './sessions'

const web = { kind: 'project' as const, name: 'web' }

describe('sessions', () => {
  it('belong to one user on one endpoint', () => {
    const sessions = new Sessions()
    const session = sessions.open(web, 'alice')
    expect(sessions.find(session.id, web, 'alice')).toBe(session)
    expect(sessions.find(session.id, web, 'bob')).toBeUndefined()
    expect(sessions.find(session.id, { kind: 'server', name: 'web' }, 'alice')).toBeUndefined()
    expect(sessions.find('guess', web, 'alice')).toBeUndefined()
    expect(['alice', 'bob'].map((user) => sessions.isOthers(session.id, user))).toEqual([false, true])
    expect(sessions.isOthers('guess', 'bob')).toBe(false)
  })

  it('make room by forgetting the one unused for longest, unless it is at work', () => {
    const sessions = new Sessions({ max: 3 })
    const [busy, first, second] = [sessions.open(web, 'u'), sessions.open(web, 'u'), sessions.open(web, 'u')]
    busy.calls.set(1, new AbortController())
    sessions.find(first.id, web, 'u')
    sessions.open(web, 'u')
    expect(sessions.find(busy.id, web, 'u')).toBe(busy)
    expect(sessions.find(first.id, web, 'u')).toBe(first)
    expect(sessions.find(second.id, web, 'u')).toBeUndefined()
  })

  it('count where they stick, and let go when they move or end', () => {
    const sessions = new Sessions()
    const session = sessions.open(web, 'u')
    sessions.stick(session, 'git', 'i1')
    sessions.stick(session, 'git', 'i2')
    expect([sessions.stuckTo('i1'), sessions.stuckTo('i2')]).toEqual([0, 1])
    sessions.end(session)
    expect(sessions.stuckTo('i2')).toBe(0)
  })
})
