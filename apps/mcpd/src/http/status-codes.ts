import type { ErrorCode } from '@mcpctl/contracts'

/** The HTTP status of each refusal. */
export const httpStatus: Record<ErrorCode, number> = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  InUse: 409,
  Expired: 410,
  PreconditionFailed: 412,
  TooLarge: 413,
  UnsupportedMediaType: 415,
  MisdirectedRequest: 421,
  Invalid: 422,
  IdempotencyKeyReused: 422,
  PreconditionRequired: 428,
  TooManyRequests: 429,
  CommittedNotVisible: 202,
  Unavailable: 503,
  Timeout: 504,
  UnknownEvent: 501,
  Internal: 500,
}
