import { describe, expect, it } from '@jest/globals'
import { instanceKind } from '@mcpctl/kinds/instance/instance.kind'
import { serverKind } from '@mcpctl/kinds/server/server.kind'
import { condition, instance, server } from '../../test/objects'
import { describeObject } from './describe'

// A moment after the objects below were made, whose ages are whole units.
const now = Date.now() + 500

describe('describe', () => {
  const lines = (text: string) => text.split('\n')

  it('shows what is wanted, what is, and the instances of a server', () => {
    const object = server('github', {
      labels: { team: 'core', tier: 'a' },
      spec: { env: [{ name: 'LOG', value: 'a b' }], args: [], resources: { memory: '512Mi' } },
      status: {
        availableReplicas: 1,
        conditions: [condition('Available', 'False', 'CrashLoopBackOff', 'exits\u001b[31m')],
      },
    })
    const failing = instance('github-ab12-0', 'github', {
      status: {
        ready: false,
        phase: 'CrashLoopBackOff',
        restarts: 4,
        lastExit: { code: 1, oom: true, at: new Date(now - 5000).toISOString() },
      },
    })
    const text = lines(
      describeObject(serverKind, object, { instances: { kind: instanceKind, objects: [failing] } }, now),
    )
    expect(text.find((line) => line.startsWith('Labels:'))).toMatch(/^Labels: {2,}team=core$/)
    expect(text[text.findIndex((line) => line.startsWith('Labels:')) + 1]).toMatch(/^ +tier=a$/)
    expect(text.find((line) => line.startsWith('Generation:'))).toMatch(/2 \(observed 2\)$/)
    expect(text.find((line) => line.startsWith('Args:'))).toMatch(/<none>$/)
    expect(text.find((line) => line.startsWith('Env:'))).toMatch(/LOG=a b$/)
    expect(text.find((line) => line.startsWith('Resources:'))).toMatch(/memory=512Mi$/)
    expect(text.find((line) => line.startsWith('Replicas:'))).toMatch(
      /2 desired \| 2 updated \| 2 total \| 1 available \| 1 unavailable$/,
    )
    expect(text.slice(text.indexOf('Conditions:'))).toEqual([
      'Conditions:',
      '  TYPE        STATUS   REASON             SINCE   MESSAGE',
      '  Available   False    CrashLoopBackOff   60s     exits␛[31m',
      'Instances:',
      '  NAME            READY   STATUS             RESTARTS   AGE   LAST-EXIT',
      '  github-ab12-0   no      CrashLoopBackOff   4          5d    code 1, out of memory, 5s ago',
      '',
    ])
  })

  it('shows how a server is rolled out, also where its spec leaves it to the defaults', () => {
    const shown = (spec: Record<string, unknown>) => describeObject(serverKind, server('github', { spec }), {}, now)
    const rest = '\n +maxUnavailable=0\n +minReadySeconds=0\n +progressDeadlineSeconds=600\n'
    expect(shown({})).toMatch(new RegExp(`^Strategy: +maxSurge=1${rest}`, 'm'))
    expect(shown({})).toMatch(/^Secret Rotation: +Restart$/m)
    const said = shown({ strategy: { maxSurge: 2 }, secretRotation: 'Manual' })
    expect(said).toMatch(new RegExp(`^Strategy: +maxSurge=2${rest}`, 'm'))
    expect(said).toMatch(/^Secret Rotation: +Manual$/m)
  })

  it('shows which value of which secret a server takes, and where', () => {
    const secretRef = { name: 'gh', key: 'token' }
    const object = server('github', {
      spec: {
        env: [
          { name: 'A', value: 'b' },
          { name: 'TOKEN', valueFrom: { secretRef } },
          { name: 'OLD', valueFrom: { secretRef: { ...secretRef, version: 3, optional: true } } },
        ],
        secretFiles: [{ secret: 'gh', key: 'pem', path: '/run/secrets/pem', env: 'PEM_FILE' }],
      },
    })
    const text = describeObject(serverKind, object, {}, now)
    expect(text).toMatch(
      /^Env: +A=b\n +TOKEN=<secret gh\/token>\n +OLD=<secret gh\/token v3, optional>\nSecret Files: +\/run\/secrets\/pem=<secret gh\/pem>$/m,
    )
  })

  it('shows why and when an instance ended and starts again', () => {
    const object = instance('github-ab12-0', 'github', {
      status: {
        lastExit: { code: null, signal: 'SIGKILL', reason: 'OOMKilled' },
        nextStartAt: '2026-01-31T12:00:00Z',
        serverInfo: { name: 'everything', version: '1.0' },
      },
    })
    const text = describeObject(instanceKind, object, {}, now)
    expect(text).toMatch(/Last Exit: +OOMKilled, signal SIGKILL\n/)
    expect(text).toMatch(/Next Start At: +2026-01-31T12:00:00Z\n/)
    expect(text).toMatch(/Server Info: +everything 1\.0\n/)
    expect(text).toContain('Conditions:  <none>\n')
  })
})
