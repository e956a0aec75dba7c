import type { ApiBodyOptions, ApiResponseOptions } from '@nestjs/swagger'

type Schema = Record<string, unknown>

const text: Schema = { type: 'string' }
const secret: Schema = { type: 'string', format: 'password' }
const instant: Schema = { type: 'string', format: 'date-time' }
const flag: Schema = { type: 'boolean' }
const texts: Schema = { type: 'array', items: text }

const body = (properties: Record<string, Schema>, required: string[]): ApiBodyOptions => ({
  required: required.length > 0,
  schema: { type: 'object', properties, required, additionalProperties: false },
})

const answer = (status: number, description: string, properties: Record<string, Schema>): ApiResponseOptions => ({
  status,
  description,
  schema: { type: 'object', properties },
})

const session = answer(200, 'A session, whose token is shown this once.', {
  token: secret,
  expiresAt: instant,
  user: text,
})

/** What the routes take and answer by which people show who they are. */
export const shapes = {
  login: { body: body({ user: text, password: secret }, ['user', 'password']), answer: session },
  setUp: { body: body({ user: text, code: secret, password: secret }, ['user', 'code', 'password']), answer: session },
  logout: {
    answer: answer(200, 'How many sessions have ended; an API token is none.', { ended: { type: 'integer' } }),
  },
  whoAmI: {
    answer: answer(200, 'As whom the request was taken.', {
      user: { type: 'object', properties: { name: text, uid: text, type: { enum: ['human', 'service'] } } },
      groups: texts,
      impersonator: { type: 'object', properties: { name: text, uid: text } },
      token: { type: 'object' },
    }),
  },
  listTokens: {
    answer: answer(200, 'Without the tokens themselves.', { items: { type: 'array', items: { type: 'object' } } }),
  },
  issueToken: {
    body: body({ user: text, ttl: { ...text, example: '30d' }, scopes: texts, note: text }, []),
    answer: answer(201, 'The token is shown this once.', {
      id: text,
      token: secret,
      user: text,
      prefix: text,
      type: { enum: ['pat', 'svc'] },
      expiresAt: instant,
      scopes: { type: 'array', items: { type: 'object' } },
      note: text,
    }),
  },
  password: {
    body: body({ current: secret, password: secret, endSessions: flag }, []),
    answer: answer(200, "One's own is set; for somebody else's there is a code, good once.", {
      user: text,
      code: secret,
      expiresAt: instant,
    }),
  },
} as const
