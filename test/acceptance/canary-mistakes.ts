import type { Canaries, Sent } from './canary-world'

/** A value put where it does not belong, and how that is refused. */
export type Mistake = [
  what: string,
  status: number,
  request: (canaries: Canaries) => [method: string, path: string, Sent?],
]

const secret = (entry: object): [string, string, Sent] => [
  'POST',
  '/api/v1/secrets',
  { body: { name: 'other', data: { key: 'a value' }, ...entry } },
]
const server = (entry: object): [string, string, Sent] => [
  'POST',
  '/api/v1/servers',
  { body: { name: 'other', image: 'example/other:1', transport: 'stdio', ...entry } },
]
const large = 64 * 1024

export const mistakes: Mistake[] = [
  // Places of a secret.
  ['as a label', 422, ({ token }) => secret({ labels: { team: token.value } })],
  ['as the name of a label', 422, ({ token }) => secret({ labels: { [token.value]: 'x' } })],
  ['as an annotation', 422, ({ token }) => secret({ annotations: { note: `it is ${token.value}` } })],
  ['as a label that is none', 422, ({ typed }) => secret({ labels: { team: `${typed.value} ${typed.value}` } })],
  ['as a name', 422, ({ typed }) => secret({ name: typed.value })],
  ['as a name that looks like a credential', 422, ({ token }) => secret({ name: token.value })],
  ['as a key', 422, ({ typed }) => secret({ data: { [`../${typed.value}`]: 'x' } })],
  ['as a key that looks like a credential', 422, ({ token }) => secret({ data: { [token.value]: 'x' } })],
  ['in place of the map', 422, ({ typed }) => secret({ data: typed.value })],
  ['in a list', 422, ({ typed }) => secret({ data: [typed.value] })],
  ['in a list of a key', 422, ({ typed }) => secret({ data: { key: [typed.value] } })],
  ['in an object of a key', 422, ({ typed }) => secret({ data: { key: { plain: typed.value } } })],
  ['as a field', 422, ({ typed }) => secret({ [typed.value]: 'x' })],
  ['in an unknown field', 422, ({ typed }) => secret({ stringData: { key: typed.value } })],
  ['as the history limit', 422, ({ typed }) => secret({ historyLimit: typed.value })],
  ['beside keep', 422, ({ typed }) => secret({ data: { key: { keep: true, value: typed.value } } })],
  [
    'as bytes that are no base64',
    422,
    ({ typed }) => secret({ data: { key: { value: `${typed.value}!`, binary: true } } }),
  ],
  ['with NUL', 422, ({ typed }) => secret({ data: { key: `${typed.value}\0` } })],
  ['masked', 422, () => secret({ data: { key: '********' } })],
  ['too long', 413, ({ typed }) => secret({ data: { key: typed.value.padEnd(large + 1, 'x') } })],
  // Places of others.
  [
    'as a description',
    422,
    ({ token }) => ['POST', '/api/v1/projects', { body: { name: 'other', description: token.value } }],
  ],
  ['as an argument', 422, ({ token }) => server({ args: ['--token', token.value] })],
  ['as a list that is none', 422, ({ typed }) => server({ args: `--token ${typed.value}` })],
  ['as an image', 422, ({ token }) => server({ image: `example/${token.value}:1` })],
  ['as a variable that is a number', 422, () => server({ env: [{ name: 'TOKEN', value: 12_345_678 }] })],
  ['as a map of variables', 422, ({ typed }) => server({ env: { TOKEN: typed.value } })],
  ['as the name of a variable', 422, ({ typed }) => server({ env: [{ name: `${typed.value}=x`, value: 'x' }] })],
  ['as a variable with NUL', 422, ({ typed }) => server({ env: [{ name: 'TOKEN', value: `${typed.value}\0` }] })],
  ['as a field of a variable', 422, ({ typed }) => server({ env: [{ name: 'TOKEN', vaule: typed.value }] })],
  [
    'as the name of a secret',
    422,
    ({ typed }) => server({ env: [{ name: 'TOKEN', valueFrom: { secretRef: { name: typed.value, key: 'key' } } }] }),
  ],
  [
    'as a key of a secret',
    422,
    ({ typed }) =>
      server({ env: [{ name: 'TOKEN', valueFrom: { secretRef: { name: 'canary', key: `${typed.value}/` } } }] }),
  ],
  [
    'beside a reference',
    422,
    ({ typed }) =>
      server({
        env: [{ name: 'TOKEN', value: typed.value, valueFrom: { secretRef: { name: 'canary', key: 'token' } } }],
      }),
  ],
  [
    'as the path of a file',
    422,
    ({ typed }) => server({ secretFiles: [{ secret: 'canary', key: 'token', path: `${typed.value}/../x` }] }),
  ],
  [
    'in a URL, as B34',
    422,
    ({ typed }) => server({ image: undefined, transport: 'http', url: `https://user:${typed.value}@example.com/mcp` }),
  ],
  ['as a replica count', 422, ({ typed }) => server({ replicas: typed.value })],
  [
    'as the user of a token',
    422,
    ({ typed }) => ['POST', '/api/v1/tokens', { body: { user: typed.value, password: typed.value } }],
  ],
  [
    'as a password that nobody has',
    401,
    ({ typed }) => ['POST', '/api/v1/login', { body: { user: 'admin', password: typed.value } }],
  ],
  ['as a user name', 401, ({ typed }) => ['POST', '/api/v1/login', { body: { user: typed.value, password: 'x' } }]],
  [
    'as an email address',
    401,
    ({ token }) => ['POST', '/api/v1/login', { body: { user: token.value, password: 'x' } }],
  ],
  [
    'as a setup code',
    401,
    ({ typed }) => ['POST', '/api/v1/setup', { body: { code: typed.value, user: 'admin', password: typed.value } }],
  ],
  [
    'as a key to reveal',
    404,
    ({ token }) => ['POST', '/api/v1/secrets/canary:reveal', { body: { keys: [token.value] } }],
  ],
  [
    'as a version to reveal',
    422,
    ({ typed }) => ['POST', '/api/v1/secrets/canary:reveal', { body: { version: typed.value } }],
  ],
  // In what is around a body.
  [
    'in JSON that ends too early',
    400,
    ({ typed }) => ['POST', '/api/v1/secrets', { raw: `{"name":"other","data":{"key":"${typed.value}` }],
  ],
  [
    'in JSON with a wrong sign',
    400,
    ({ typed }) => ['POST', '/api/v1/secrets', { raw: `{"data":{"key":"${typed.value}",}}` }],
  ],
  [
    'in bytes that are no text',
    400,
    ({ typed }) => [
      'POST',
      '/api/v1/secrets',
      { raw: Buffer.concat([Buffer.from(`{"k":"${typed.value}`), Buffer.from([0xff])]) },
    ],
  ],
  [
    'as text',
    415,
    ({ typed }) => ['POST', '/api/v1/secrets', { raw: typed.value, headers: { 'content-type': 'text/plain' } }],
  ],
  [
    'as a content type',
    415,
    ({ typed }) => ['POST', '/api/v1/secrets', { raw: '{}', headers: { 'content-type': `text/${typed.value}` } }],
  ],
  [
    'as a bearer token',
    401,
    ({ typed }) => ['GET', '/api/v1/secrets', { headers: { authorization: `Bearer ${typed.value}` } }],
  ],
  [
    'as a bearer token that looks like one',
    401,
    ({ token }) => ['GET', '/api/v1/secrets', { headers: { authorization: `Bearer ${token.value}` } }],
  ],
  [
    'as credentials',
    401,
    ({ typed }) => ['GET', '/api/v1/secrets', { headers: { authorization: `Basic ${btoa(`admin:${typed.value}`)}` } }],
  ],
  ['as the header alone', 401, ({ typed }) => ['GET', '/api/v1/secrets', { headers: { authorization: typed.value } }]],
  [
    'as a reason',
    422,
    ({ token }) => [
      'POST',
      '/api/v1/projects',
      { body: { name: 'other' }, headers: { 'x-mcpctl-reason': token.value } },
    ],
  ],
  [
    'as a reason of two lines, as B41',
    400,
    () => [
      'POST',
      '/api/v1/projects',
      { body: { name: 'other' }, headers: { 'x-mcpctl-reason': 'x%0A%7B%22level%22%3A60%7D' } },
    ],
  ],
  ['as a label of two lines, as B41', 422, () => secret({ labels: { team: 'x\n{"level":60}' } })],
  [
    'as a user name of two lines, as B41',
    401,
    () => ['POST', '/api/v1/login', { body: { user: 'x\n{"level":60}', password: 'x' } }],
  ],
  [
    'as somebody else',
    403,
    ({ token }) => ['GET', '/api/v1/servers', { headers: { 'impersonate-user': token.value } }],
  ],
  [
    'as an idempotency key',
    201,
    ({ token }) => [
      'POST',
      '/api/v1/projects',
      { body: { name: 'other' }, headers: { 'idempotency-key': token.value } },
    ],
  ],
  [
    'as a precondition',
    400,
    ({ token }) => ['PUT', '/api/v1/projects/canary', { body: { servers: [] }, headers: { 'if-match': token.value } }],
  ],
  [
    'as a version of HTTP caches',
    200,
    ({ token }) => ['GET', '/api/v1/projects/canary', { headers: { 'if-none-match': token.value } }],
  ],
  ['in a path', 404, ({ token }) => ['GET', `/api/v1/secrets/${token.value}`]],
  ['in a path of nothing', 404, ({ token }) => ['GET', `/api/v1/${token.value}`]],
  ['as a name that no object can have', 404, ({ typed }) => ['GET', `/api/v1/secrets/${typed.value}`]],
  ['as a selector', 400, ({ token }) => ['GET', `/api/v1/secrets?labelSelector=${token.value},,`]],
  ['as a query', 400, ({ token }) => ['GET', `/api/v1/secrets?${token.value}=1`]],
  ['as a limit', 400, ({ typed }) => ['GET', `/api/v1/secrets?limit=${typed.value}`]],
  ['as a dry run', 400, ({ typed }) => ['POST', `/api/v1/projects?dryRun=${typed.value}`, { body: { name: 'other' } }]],
  [
    'in a manifest',
    422,
    ({ token }) => ['POST', '/api/v1/apply', { body: { projects: [{ name: 'other', description: token.value }] } }],
  ],
  ['as a kind of a manifest', 422, ({ typed }) => ['POST', '/api/v1/apply', { body: { [typed.value]: [] } }]],
]
