import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execute, program } from '../support/binaries'
import { Sandbox } from '../support/mcpd-process'

const manifests: Record<string, string> = {
  'field.yaml': 'servers:\n  - name: a\n    pakage: npm:semver@7.8.1\n    transport: stdio\n',
  'type.yaml': 'servers:\n  - name: a\n    package: npm:semver@7.8.1\n    replicas: two\n',
  'negative.yaml': 'servers:\n  - name: a\n    package: npm:semver@7.8.1\n    replicas: -1\n',
  'broken.yaml': 'servers:\n  - name: a\n    args: [one\n    replicas: 1\n',
  'kind.yaml': 'serves:\n  - name: a\n',
  'missing.yaml': 'projects:\n  - name: p\n    servers: [nowhere]\n',
  'range.yaml': 'servers:\n  - name: a\n    package: npm:semver@^7.0.0\n',
  'twice.yaml': 'projects:\n  - name: p\n  - name: p\n',
  'name.yaml': 'projects:\n  - name: Has Spaces\n',
  'unsupported.yaml':
    'servers:\n  - name: a\n    package: npm:semver@7.8.1\n    resources: { memory: 64Mi }\n    network: { mode: none }\n',
  'empty.yaml': '',
}

/** What is typed, the exit code, and what is printed. */
const mistakes: [string, number, string[]][] = [
  ['get srvs', 2, [`error: the server doesn't have a resource type "srvs"; did you mean "servers"?`]],
  [
    'get',
    2,
    [
      'error: Required resource not specified.',
      'Name a type, for example: mcpctl get servers. "mcpctl api-resources" lists them.',
    ],
  ],
  ['get servers nothing', 3, ['Error from server (NotFound): servers "nothing" not found']],
  [
    'get server/app app',
    2,
    [
      "error: there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'mcpctl get resource/<resource_name>' instead of 'mcpctl get resource resource/<resource_name>')",
    ],
  ],
  [
    'get servers --outptu yaml',
    2,
    ['error: unknown flag: --outptu; did you mean --output?', "See 'mcpctl get --help' for usage."],
  ],
  [
    'get servers -o ymal',
    2,
    [
      'error: unable to match a printer suitable for the output format "ymal", allowed formats are: json,name,table,wide,yaml; did you mean "yaml"?',
    ],
  ],
  ['get servers -o', 2, ['error: flag needs an argument: -o', "See 'mcpctl get --help' for usage."]],
  ['frobnicate', 2, ['error: unknown command "frobnicate" for "mcpctl"', "See 'mcpctl --help' for usage."]],
  [
    'gett servers',
    2,
    ['error: unknown command "gett" for "mcpctl"; did you mean "get"?', "See 'mcpctl --help' for usage."],
  ],
  ['apply', 2, ['error: must specify one of -f', 'For example: mcpctl apply -f examples/quickstart.yaml']],
  ['apply -f missing-file.yaml', 2, ['error: the path "missing-file.yaml" does not exist']],
  [
    'apply -f none',
    2,
    [
      'error: error reading [none]: recognized file extensions are [.json .yaml .yml]',
      'directories below it are read with -R only',
    ],
  ],
  [
    'apply -f field.yaml',
    7,
    [
      'The Server "a" is invalid:',
      '* spec.pakage: unknown field; did you mean "package"? (field.yaml:3)',
      '* exactly one of image, package and url says what to run; none was given (field.yaml:2)',
    ],
  ],
  [
    'apply -f type.yaml',
    7,
    ['The Server "a" is invalid:', '* spec.replicas: Invalid value: "two": must be a whole number (type.yaml:4)'],
  ],
  [
    'apply -f negative.yaml',
    7,
    [
      'The Server "a" is invalid:',
      '* spec.replicas: Invalid value: -1: must be greater than or equal to 0 (negative.yaml:4)',
    ],
  ],
  [
    'apply -f broken.yaml',
    2,
    ['error: broken.yaml:4: Flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  ['apply -f kind.yaml', 2, ['error: kind.yaml:1: unknown key "serves"; did you mean "servers"?']],
  [
    'apply -f missing.yaml',
    7,
    [
      'The Project "p" is invalid:',
      '* spec.servers[0]: servers "nowhere" not found; create it first or in the same apply (missing.yaml:3)',
    ],
  ],
  [
    'apply -f range.yaml',
    7,
    [
      'The Server "a" is invalid:',
      '* spec.package: Invalid value: "npm:semver@^7.0.0": must name an exact version, for example npm:@scope/name@1.2.3 (range.yaml:3)',
    ],
  ],
  ['apply -f twice.yaml', 2, ['error: twice.yaml:3: project/p is here a second time; the first is at twice.yaml:2']],
  [
    'apply -f name.yaml',
    7,
    [
      'The Project "Has Spaces" is invalid:',
      '* metadata.name: Invalid value: "Has Spaces": must be at most 63 lower-case letters, digits, "-" or ".", starting and ending with a letter or digit (name.yaml:2)',
    ],
  ],
  [
    'apply -f unsupported.yaml',
    7,
    [
      'The Server "a" is invalid:',
      '* spec.resources: not supported by driver process (unsupported.yaml:4)',
      '* spec.network: not supported by driver process (unsupported.yaml:5)',
    ],
  ],
  ['apply -f empty.yaml', 2, ['error: no objects passed to apply']],
  [
    'scale server/app --replicas=-1',
    7,
    ['The Scale "app" is invalid:', '* spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
  ],
  [
    'scale server/app',
    2,
    ['error: required flag(s) "replicas" not set', 'For example: mcpctl scale server/github --replicas 3'],
  ],
  ['scale server/app --replicas=two', 2, ['error: invalid argument "two" for --replicas: must be a whole number']],
  ['scale server/nothing --replicas=1', 3, ['Error from server (NotFound): servers "nothing" not found']],
  ['scale project/app --replicas=1', 2, ['error: projects cannot be scaled; servers can']],
  [
    'wait server/app',
    2,
    ['error: required flag(s) "for" not set', 'For example: mcpctl wait server/github --for=condition=Available'],
  ],
  [
    'wait server/app --for=condition=Redy --timeout=0',
    8,
    [
      'error: timed out waiting for the condition on servers/app: no condition Redy is reported; there are Available, Progressing, Degraded',
      'see: mcpctl describe server/app',
    ],
  ],
  [
    'wait server/app --for=conditon=Ready',
    2,
    [
      'error: unrecognized condition: "conditon=Ready"; did you mean "condition"?',
      'Write condition=Available, delete, create or jsonpath={.status.phase}=Running.',
    ],
  ],
  [
    'wait server/nothing --for=condition=Available --timeout=0',
    8,
    ['error: timed out waiting for the condition on servers/nothing: it does not exist'],
  ],
  [
    'wait server/app --for=delete --timeout=soon',
    2,
    ['error: invalid argument "soon" for --timeout: write a duration like 30s, 5m or 1h30m'],
  ],
  ['delete server nothing', 3, ['Error from server (NotFound): servers "nothing" not found']],
  [
    'delete servers --all',
    2,
    ['error: would delete 1 object in context "local", and there is nobody to ask; repeat it with --yes'],
  ],
  [
    'delete servers',
    2,
    ['error: resource(s) were provided, but no name was specified', 'Name the objects, or pass -l or --all.'],
  ],
  ['create server', 2, ['error: exactly one NAME is required', 'For example: mcpctl create server github --image …']],
  [
    'create server Bad_Name --package npm:semver@7.8.1',
    7,
    [
      'The Server "Bad_Name" is invalid:',
      '* metadata.name: Invalid value: "Bad_Name": must be at most 63 lower-case letters, digits or "-", starting and ending with a letter or digit',
    ],
  ],
  [
    'create server app --package npm:semver@7.8.1',
    6,
    ['Error from server (AlreadyExists): servers "app" already exists'],
  ],
  [
    'create server b',
    2,
    [
      'error: exactly one of --image, --package and --url says what to run; none was given',
      'For example: mcpctl create server files --package npm:@scope/name@1.2.3',
    ],
  ],
  [
    'create server b --package npm:semver@7.8.1 --image x',
    2,
    [
      'error: exactly one of --image, --package and --url says what to run; --image and --package were given',
      'For example: mcpctl create server files --package npm:@scope/name@1.2.3',
    ],
  ],
  ['create instance x', 2, ['error: instances cannot be created by hand: the daemon makes them as servers need them']],
  [
    'create server b --package npm:semver@7.8.1 --env NOVALUE',
    2,
    ['error: --env needs NAME=VALUE; "NOVALUE" has no "="'],
  ],
  ['logs', 2, ['error: name a server or an instance', 'For example: mcpctl logs github']],
  ['logs nothing', 3, ['Error from server (NotFound): servers "nothing" not found']],
  [
    'logs app --since yesterday',
    2,
    ['error: invalid argument "yesterday" for --since: write a duration like 30s, 5m or 1h30m'],
  ],
  ['describe server/nothing', 3, ['Error from server (NotFound): servers "nothing" not found']],
  ['get servers --context nowhere', 2, ['error: there is no context "nowhere"; run: mcpctl config get-contexts']],
  [
    'get servers --server http://127.0.0.1:1',
    9,
    [
      'The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?',
      'run: mcpctl up',
    ],
  ],
  [
    'get servers --field-selector nonsense=1',
    2,
    [
      'Error from server (BadRequest): field selector "nonsense" is not supported; use one of metadata.name, metadata.uid, status.phase, spec.transport, spec.image, spec.package, spec.server',
    ],
  ],
  [
    'get servers -l ==',
    2,
    ['Error from server (BadRequest): selector "==" is not of the form key=value, key!=value, key or !key'],
  ],
  [
    'get servers --request-timeout soon',
    2,
    ['error: invalid argument "soon" for --request-timeout: write a duration like 30s, 5m or 1h30m'],
  ],
  [
    'config use-context nowhere',
    2,
    ['error: no context exists with the name "nowhere"', 'run: mcpctl config get-contexts'],
  ],
  [
    'get servers --token-file nowhere.txt',
    2,
    [
      'error: --token-file: "nowhere.txt" does not exist',
      "name a file that holds a token, or leave it out to use the context's",
    ],
  ],
]

describe('mistakes', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await Sandbox.create()
    await sandbox.start()
    for (const [name, text] of Object.entries(manifests)) await writeFile(join(sandbox.directory, name), text)
    await mkdir(join(sandbox.directory, 'none'))
    await sandbox.api().apply({ servers: [{ name: 'app', package: 'npm:semver@7.8.1', replicas: 0 }] })
  }, 60_000)
  afterAll(() => sandbox.remove(), 60_000)

  it.each(mistakes)('mcpctl %s', async (line, code, err) => {
    const answer = await sandbox.mcpctl(...line.split(' '))
    expect(answer).toEqual({ code, out: '', err: `${err.join('\n')}\n` })
  })

  it('in standard input are told like those in files', async () => {
    expect(await sandbox.type('servers:\n  - name: a\n    imge: x\n', 'apply', '-f', '-')).toMatchObject({
      code: 7,
      err: expect.stringContaining('* spec.imge: unknown field; did you mean "image"? (STDIN:3)\n'),
    })
  })

  it('leave nothing half done: one bad document spoils the whole manifest', async () => {
    const manifest = {
      servers: [{ name: 'good', package: 'npm:semver@7.8.1', replicas: 0 }],
      projects: [{ name: '-' }],
    }
    expect(await sandbox.type(JSON.stringify(manifest), 'apply', '-f', '-')).toMatchObject({ code: 7, out: '' })
    expect(await sandbox.must('get', 'servers,projects', '-o', 'name')).toBe('server/app\n')
  })

  it('with the credentials or the configuration are told with what to do', async () => {
    await writeFile(join(sandbox.directory, 'token'), 'mcp_pat_nonsense')
    expect(await sandbox.mcpctl('get', 'servers', '--token-file', 'token')).toEqual({
      code: 4,
      out: '',
      err:
        'error: You must be logged in to the server (the token is not valid here)\n' +
        `--token-file: name a file with a token of the daemon at ${sandbox.context().server}\n`,
    })
    const withConfig = (file: string) =>
      execute(process.execPath, [program('mcpctl'), 'get', 'servers'], {
        env: { ...sandbox.env, MCPCTL_CONFIG: join(sandbox.directory, file) },
      })
    expect(await withConfig('nowhere.json')).toEqual({
      code: 9,
      out: '',
      err: 'error: no daemon is configured; run: mcpctl up\n',
    })
    await writeFile(join(sandbox.directory, 'torn.json'), '{')
    expect(await withConfig('torn.json')).toEqual({
      code: 2,
      out: '',
      err: `error: ${sandbox.directory}/torn.json is not valid JSON; mend it, or delete it and run: mcpctl up\n`,
    })
  })

  it('of mcpd itself are told', async () => {
    const mcpd = (...args: string[]) => execute(process.execPath, [program('mcpd'), ...args], { env: sandbox.env })
    expect(await mcpd('--prot', '1')).toEqual({
      code: 2,
      out: '',
      err: 'error: unknown flag: --prot; did you mean "--port"?\nSee: mcpd --help\n',
    })
    expect(await mcpd('--port', 'many')).toMatchObject({ code: 2, err: expect.stringContaining('not "many"') })
    expect(await mcpd('--host', '0.0.0.0')).toMatchObject({ code: 2, err: expect.stringContaining('TLS proxy') })
    const second = await mcpd()
    expect(second.code).toBe(1)
    expect(second.err).toMatch(/^error: mcpd did not start: data directory ".+" is in use by process \d+; stop it or /)
  })

  it('with a daemon that is down are told with what to do', async () => {
    const { server } = sandbox.context()
    await sandbox.end()
    for (const line of ['get servers', 'delete server app', 'scale server/app --replicas=1', 'logs app', 'status'])
      expect(await sandbox.mcpctl(...line.split(' '))).toEqual({
        code: 9,
        out: '',
        err:
          `The connection to the server ${server.replace('http://', '')} was refused - ` +
          'did you specify the right host or port?\nrun: mcpctl up\n',
      })
  })
})
