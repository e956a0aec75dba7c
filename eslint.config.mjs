import prettier from 'eslint-config-prettier'
import tseslint from 'typescript-eslint'

const budgets = {
  'max-lines': ['error', { max: 300 }],
  'max-lines-per-function': ['error', { max: 50, IIFEs: true }],
  // `modified`: an exhaustive switch over events is one decision, however many events there are.
  complexity: ['error', { max: 10, variant: 'modified' }],
}

const vagueNames = '/(Service|Manager|Helper|Helpers|Util|Utils|Base|Common|Info|Data|Dto)$/'

const vagueName = (declaration) => ({
  selector: `${declaration}[id.name=${vagueNames}]`,
  message:
    'A name that ends in Service, Manager, Helper, Util, Base, Common, Info or Data says nothing; name what it does.',
})

// A constructor that only takes injected collaborators may name two more; counted by hand, since max-params cannot tell.
const inConstructor = 'MethodDefinition[kind="constructor"] > FunctionExpression'
const parameters = [
  {
    selector: `:matches(FunctionDeclaration, ArrowFunctionExpression, :not(MethodDefinition[kind="constructor"]) > FunctionExpression)[params.length>4]`,
    message: 'More than 4 parameters: pass an object.',
  },
  { selector: `${inConstructor}[params.length>6]`, message: 'More than 6 collaborators: split the class.' },
]

const names = {
  'no-restricted-syntax': [
    'error',
    ...parameters,
    ...['ClassDeclaration', 'TSInterfaceDeclaration', 'TSTypeAliasDeclaration', 'FunctionDeclaration'].map(vagueName),
  ],
}

const typeAware = {
  '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
  '@typescript-eslint/no-unused-vars': [
    'error',
    { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' },
  ],
  '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
  '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
  // Nest modules are classes without members.
  '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
  // `() => emitter.emit()` and `return done()` read well.
  '@typescript-eslint/no-confusing-void-expression': 'off',
  // Nest and others declare their options as classes and expect plain objects.
  '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
  // `type` and `interface` both have their place, and an empty payload is `Record<string, never>` or `{}`.
  '@typescript-eslint/consistent-type-definitions': 'off',
}

const pureGlobals = [
  'process',
  'fetch',
  'performance',
  'crypto',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'console',
  'globalThis',
]

const clock = 'Pure roles take the time as an argument.'

const pure = {
  'no-restricted-globals': [
    'error',
    ...pureGlobals.map((name) => ({ name, message: 'Pure roles take time, ids and facts as arguments.' })),
  ],
  'no-restricted-properties': [
    'error',
    { object: 'Math', property: 'random', message: 'Pure roles take chance as an argument.' },
  ],
  'no-restricted-syntax': [
    ...names['no-restricted-syntax'],
    // `Date.parse(at)` and `new Date(at)` compute with an instant that was given; these two read the clock.
    { selector: ':matches(NewExpression, CallExpression)[callee.name="Date"][arguments.length=0]', message: clock },
    { selector: 'MemberExpression[object.name="Date"][property.name="now"]', message: clock },
    { selector: 'AwaitExpression', message: 'Pure roles do not wait: gather facts in *.commands.ts, then decide.' },
    {
      selector: 'FunctionDeclaration[async=true], ArrowFunctionExpression[async=true]',
      message: 'Pure roles are synchronous.',
    },
    { selector: 'ImportExpression', message: 'Pure roles load nothing at run time.' },
  ],
}

/** What a spec may do that the code may not: long `describe` blocks, and the odd loose type at the edge of what is tested. */
const inSpecs = {
  'max-lines-per-function': 'off',
  'max-lines': ['error', { max: 500 }],
  '@typescript-eslint/no-non-null-assertion': 'off',
  '@typescript-eslint/no-unsafe-assignment': 'off',
  '@typescript-eslint/no-unsafe-member-access': 'off',
  '@typescript-eslint/no-unsafe-argument': 'off',
  '@typescript-eslint/no-unsafe-call': 'off',
  '@typescript-eslint/no-unsafe-return': 'off',
  '@typescript-eslint/require-await': 'off',
  '@typescript-eslint/no-empty-function': 'off',
}

export default tseslint.config(
  {
    ignores: [
      'dist/',
      'node_modules/',
      'coverage/',
      '.cache/',
      'docs/reference/',
      'test/architecture/fixtures/',
      '**/*.d.ts',
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: { ...budgets, ...names, ...typeAware, 'no-console': 'error' },
  },
  { files: ['apps/{mcpctl,mcplocal}/**/*.ts'], rules: { 'no-console': 'off' } },
  { files: ['libs/kinds/*/*.{kind,decider,view,plan}.ts'], rules: pure },
  { files: ['**/*.spec.ts', '**/*.contract.ts', 'test/**/*.ts'], rules: inSpecs },
  { files: ['**/*.mjs'], extends: [tseslint.configs.base], rules: { ...budgets, ...names, 'no-undef': 'off' } },
  prettier,
)
