export interface LaterCase {
  /** What it waits for. */
  waitsFor: string
  /** What the right answer follows from, asked by the case's subject of `POST /authz/can-i`. */
  decisions: [ask: object, allowed: boolean][]
}

const may = (verb: string, kind: string, name?: string) => ({ verb, kind, ...(name !== undefined && { name }) })
const op = (action: string, kind?: string, name?: string) => ({
  action,
  ...(kind !== undefined && { kind }),
  ...(name !== undefined && { name }),
})

const rollouts = 'rollouts: there is no route that restarts or undoes one'
const archives = 'backup and restore: there is no route'
const trail = 'the audit trail and history: there is no route'
const prune = 'apply --prune: the daemon keeps no sets'

/** Cases whose request needs what is not there yet. What decides them is asked all the same. */
export const laterCases: Record<string, LaterCase> = {
  R032: {
    waitsFor: rollouts,
    decisions: [
      [may('edit', 'servers', 'github'), true],
      [may('run', 'secrets', 'gh-token'), true],
    ],
  },
  R034: { waitsFor: rollouts, decisions: [[may('edit', 'servers', 'github'), false]] },
  R042: { waitsFor: prune, decisions: [[may('delete', 'servers', 'slack'), false]] },
  R050: {
    waitsFor: 'MCP 2026-07-28: older revisions do not mirror the body in headers, which are not trusted',
    decisions: [
      [may('run', 'servers', 'github'), true],
      [may('run', 'servers', 'slack'), false],
    ],
  },
  R061: {
    waitsFor: trail,
    decisions: [
      [may('view', 'secrets', 'gh-token'), true],
      [op('reveal', 'secrets', 'gh-token'), true],
    ],
  },
  R066: { waitsFor: archives, decisions: [[op('backup'), true]] },
  R069: { waitsFor: archives, decisions: [[op('restore'), true]] },
  R070: {
    waitsFor: archives,
    decisions: [
      [op('restore'), true],
      [op('grant'), false],
    ],
  },
  R071: { waitsFor: trail, decisions: [[op('audit'), true]] },
  R072: {
    waitsFor: trail,
    decisions: [
      [op('audit'), true],
      [may('view', 'servers', 'github'), false],
    ],
  },
  R073: { waitsFor: trail, decisions: [[op('audit'), false]] },
}
