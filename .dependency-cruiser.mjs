const forbid = (name, from, to, comment) => ({ name, severity: 'error', comment, from, to })

const spec = '\\.spec\\.ts$'
const pure = '^libs/kinds/.+\\.(kind|decider|view|plan)\\.ts$'
const contracts = '^libs/contracts/'

/** The import rules of the architecture. test/architecture/boundaries.spec.ts proves that each of them can fail. */
export const rules = [
  forbid(
    'no-cycles',
    {},
    { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    'A circle cannot be understood or tested in parts.',
  ),
  forbid(
    'libs-know-no-kind',
    { path: '^libs/', pathNot: ['^libs/kinds/', spec] },
    { path: '^(libs/kinds|apps)/' },
    'Libs carry, kinds decide.',
  ),
  forbid(
    'kinds-know-no-app',
    { path: '^libs/kinds/' },
    { path: '^apps/' },
    'Apps wire the kinds, never the other way round.',
  ),
  forbid(
    'pure-roles-do-no-io',
    { path: pure },
    { dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown', 'unknown', 'core'] },
    'Pure roles import no package and nothing of Node.',
  ),
  forbid(
    'pure-roles-import-pure',
    { path: pure },
    { path: '^libs/kinds/', pathNot: pure },
    'Pure roles import pure roles only.',
  ),
  forbid(
    'pure-roles-take-types-only',
    { path: pure },
    { path: '^libs/', pathNot: [contracts, '^libs/kinds/'], dependencyTypesNot: ['type-only'] },
    'Of other libs than the contracts, pure roles take types.',
  ),
  forbid(
    'kinds-meet-by-contract',
    { path: '^libs/kinds/([^/]+)/', pathNot: ['\\.saga\\.ts$', spec] },
    { path: '^libs/kinds/[^/]+/', pathNot: ['^libs/kinds/$1/', '\\.kind\\.ts$'] },
    'A kind knows of another kind only its contract.',
  ),
  forbid(
    'sagas-send-commands',
    { path: '^libs/kinds/([^/]+)/.+\\.saga\\.ts$' },
    { path: '^libs/kinds/[^/]+/', pathNot: ['^libs/kinds/$1/', '\\.(kind|commands|saga)\\.ts$'] },
    'A saga sends commands across kinds; it decides nothing.',
  ),
  forbid(
    'contracts-are-the-floor',
    { path: contracts, pathNot: spec },
    { pathNot: contracts },
    'Contracts are isomorphic: no lib below them, no package, nothing of Node.',
  ),
  forbid(
    'low-libs-stay-low',
    { path: '^libs/(event-store|access|reconcile|client)/', pathNot: spec },
    { path: '^libs/', pathNot: ['^libs/$1/', contracts, '^libs/postgres/'] },
    'contracts ← event-store, access, reconcile, client.',
  ),
  forbid(
    'clients-see-contracts-only',
    { path: '^apps/(mcpctl|mcplocal)/', pathNot: spec },
    { path: '^libs/', pathNot: ['^libs/(contracts|client)/', '\\.kind\\.ts$', '^libs/kinds/kinds\\.ts$'] },
    'Clients know the contracts and the REST client.',
  ),
  forbid(
    'apps-are-apart',
    { path: '^apps/([^/]+)/' },
    { path: '^apps/', pathNot: '^apps/$1/' },
    'What two apps need is a lib.',
  ),
  forbid(
    'mcpd-wires-modules',
    { path: '^apps/mcpd/', pathNot: spec },
    { path: '^libs/kinds/[^/]+/.+\\.(decider|view|plan|commands|reconciler|saga|controller|schema)\\.ts$' },
    'mcpd takes the list of modules, not single roles.',
  ),
  forbid(
    'code-knows-no-test',
    { path: '^(apps|libs)/', pathNot: ['\\.(spec|contract)\\.ts$'] },
    { path: '^test/' },
    'Tests know the code, never the other way round.',
  ),
]

export default {
  forbidden: rules,
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|\\.cache)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
}
