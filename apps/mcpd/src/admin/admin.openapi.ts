import type {
  KeyEncryptionKey,
  KeysStatus,
  LogFinding,
  ModelFinding,
  ModelStatus,
  ParkedEvent,
  RebuildAnswer,
  RebuildStatus,
  RetireAnswer,
  RewrapAnswer,
  RewrapStatus,
  RotateAnswer,
  Settled,
  VerifyProgress,
  VerifyReport,
} from '@mcpctl/contracts'
import type { ApiResponseOptions } from '@nestjs/swagger'

type Schema = Record<string, unknown>
type OptionalKey<T> = { [K in keyof T]-?: undefined extends T[K] ? K : never }[keyof T]

/** A schema that does not compile unless it has each field of the answer and no other. */
export const object = <T>(properties: { [K in keyof T]-?: Schema }, optional: OptionalKey<T>[] = []): Schema => ({
  type: 'object',
  required: Object.keys(properties).filter((key) => !optional.includes(key as OptionalKey<T>)),
  properties,
})

export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
export const text: Schema = { type: 'string' }
export const count: Schema = { type: 'integer', minimum: 0 }
export const position: Schema = { type: 'string', pattern: '^\\d+$', description: 'Position in the log.' }
const anything: Schema = {}

/** Answers of the routes below `/api/v1/admin`. */
export const adminSchemas: Record<string, Schema> = {
  ParkedEvent: object<ParkedEvent>({
    processor: text,
    position,
    streamId: text,
    type: text,
    error: { ...text, description: 'What was thrown at it the last time.' },
    since: { type: 'string', format: 'date-time' },
    behind: { ...count, description: 'Later events of its stream that wait for it.' },
  }),
  ParkedEventList: object<{ parked: ParkedEvent[] }>({ parked: { type: 'array', items: ref('ParkedEvent') } }),
  Settled: object<Settled>(
    {
      applied: { ...count, description: 'Events that are part of the model now.' },
      stoppedAt: {
        ...object<NonNullable<Settled['stoppedAt']>>({ position, type: text, error: text }),
        description: 'The event that is parked still.',
      },
    },
    ['stoppedAt'],
  ),
  RebuildStatus: object<RebuildStatus>(
    {
      version: count,
      state: { enum: ['building', 'indexing', 'swapping', 'failed'] satisfies RebuildStatus['state'][] },
      position,
      eventsPerSecond: count,
      lastError: text,
    },
    ['eventsPerSecond', 'lastError'],
  ),
  ModelStatus: object<ModelStatus>(
    {
      name: text,
      version: { ...count, description: 'The version that readers see.' },
      fold: { ...text, description: 'Identity of the code that has folded it.' },
      position,
      head: { ...position, description: 'Position of the last event of the log.' },
      status: text,
      lastError: text,
      eventsPerSecond: { ...count, description: 'How fast it was loaded when it was rebuilt.' },
      rebuild: ref('RebuildStatus'),
    },
    ['lastError', 'eventsPerSecond', 'rebuild'],
  ),
  ModelStatusList: object<{ models: ModelStatus[] }>({ models: { type: 'array', items: ref('ModelStatus') } }),
  RebuildAnswer: object<RebuildAnswer>({
    name: text,
    version: { ...count, description: 'The version that is being built now.' },
  }),
  KeyEncryptionKey: object<KeyEncryptionKey>({
    id: { ...text, description: 'Follows from the key and tells nothing about it.' },
    createdAt: { type: 'string', format: 'date-time' },
    present: { type: 'boolean', description: 'The daemon that was asked holds it.' },
    current: { type: 'boolean', description: 'New data keys are wrapped with it.' },
    dataKeys: { ...count, description: 'Data keys that it wraps.' },
  }),
  RewrapStatus: object<RewrapStatus>(
    {
      running: { type: 'boolean' },
      done: { ...count, description: 'Data keys that were wrapped anew.' },
      failed: { ...count, description: 'Data keys that could not be.' },
      failing: { type: 'array', items: text, description: 'The first of those: uid of the secret and version.' },
      lastError: { ...text, description: 'What stood in its way the last time; it goes on trying.' },
    },
    ['lastError'],
  ),
  KeysStatus: object<KeysStatus>(
    {
      state: { enum: ['ready', 'KekMissing', 'KekWrong'] satisfies KeysStatus['state'][] },
      message: { ...text, description: 'Why secrets cannot be opened, and what to do.' },
      place: { ...text, description: 'Where the keys are kept.' },
      keks: { type: 'array', items: ref('KeyEncryptionKey'), description: 'The last one is current.' },
      stale: { ...count, description: 'Data keys that are not under the current one yet.' },
      rewrap: { ...ref('RewrapStatus'), description: 'Of the daemon that was asked, since it was started.' },
    },
    ['message', 'rewrap'],
  ),
  RotateAnswer: object<RotateAnswer>(
    { from: text, to: { ...text, description: 'Absent for a dry run.' }, stale: count },
    ['to'],
  ),
  RewrapAnswer: object<RewrapAnswer>({ stale: { ...count, description: 'Data keys to wrap anew.' } }),
  RetireAnswer: object<RetireAnswer>({ retired: { type: 'array', items: text } }),
  VerifyProgress: object<VerifyProgress>({
    subject: { ...text, description: '"log", or the name of a read model.' },
    position,
    to: position,
  }),
  LogFinding: object<LogFinding>({ in: { const: 'log' }, problem: text, position, field: text, message: text }),
  ModelFinding: object<ModelFinding>(
    {
      in: { const: 'model' },
      model: text,
      comparedAt: { ...position, description: 'Model and log were compared as of here.' },
      subject: { type: 'object', additionalProperties: text },
      position,
      path: text,
      stored: anything,
      expected: anything,
    },
    ['position', 'path', 'stored', 'expected'],
  ),
  VerifyReport: object<VerifyReport>(
    {
      ok: { type: 'boolean' },
      finding: { oneOf: [ref('LogFinding'), ref('ModelFinding')] },
      log: object<NonNullable<VerifyReport['log']>>({
        events: position,
        head: position,
        hash: { type: 'string', pattern: '^[0-9a-f]*$' },
        claims: { type: 'string', pattern: '^\\d+$' },
        seals: count,
        anchored: { type: 'boolean', description: 'Whether anything outside of the database vouches for the log.' },
      }),
      models: { type: 'array', items: object<VerifyReport['models'][number]>({ name: text, position }) },
    },
    ['finding', 'log'],
  ),
  VerifyLine: {
    description: 'One line: progress while it goes on, a report or a problem at the end.',
    oneOf: [
      object<{ progress: VerifyProgress }>({ progress: ref('VerifyProgress') }),
      object<{ report: VerifyReport }>({ report: ref('VerifyReport') }),
      object<{ problem: object }>({ problem: ref('Problem') }),
    ],
  },
}

/** For a controller's method: what it answers. */
export const answers = (name: string, description: string, type = 'application/json'): ApiResponseOptions => ({
  description,
  content: { [type]: { schema: ref(name) } },
})

/** For a controller: what all of it answers otherwise. */
export const refusals = answers('Problem', 'Refused; the problem says why.', 'application/problem+json')
