import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common'
import {
  DomainError,
  errorCodes,
  maskCredentials,
  type ErrorCode,
  type FieldError,
  type Problem,
} from '@mcpctl/contracts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import type { Denials } from '../identity/denials'
import { tooLarge } from './body'
import { httpStatus } from './status-codes'

const spaced = (code: string) => code.replace(/(?<=[a-z])(?=[A-Z])/g, ' ')
const kebab = (code: string) => spaced(code).toLowerCase().replaceAll(' ', '-')

/** Codes of the web framework and of drivers that are the client's fault or pass by themselves. */
const known: Record<string, ErrorCode> = {
  FST_ERR_BAD_URL: 'BadRequest',
  FST_ERR_MAX_PARAM_LENGTH: 'BadRequest',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BadRequest',
  FST_ERR_CTP_BODY_TOO_LARGE: 'TooLarge',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UnsupportedMediaType',
  ECONNREFUSED: 'Unavailable',
  ECONNRESET: 'Unavailable',
  EPIPE: 'Unavailable',
}

const codeOfStatus = (status: number): ErrorCode =>
  errorCodes.find((code) => httpStatus[code] === status) ?? (status < 500 ? 'BadRequest' : 'Internal')

/** PostgreSQL classes 08 and 57P: the connection went, or the server is starting or stopping. */
const isDatabaseAway = (code: string, message: string) =>
  /^(08|57P)/.test(code) || /connection terminated|timeout exceeded when trying to connect/i.test(message)

const statusOf = (thrown: unknown): number =>
  thrown instanceof HttpException ? thrown.getStatus() : ((thrown as { statusCode?: number }).statusCode ?? 500)

/** What anything that was thrown means to a client. Bugs are not explained, only numbered. */
export const asDomainError = (thrown: unknown): DomainError => {
  if (thrown instanceof DomainError) return thrown
  const { code = '', message = '' } = thrown as { code?: string; message?: string }
  const mapped = known[code]
  if (mapped === 'Unavailable' || isDatabaseAway(code, message))
    return new DomainError('Unavailable', 'the database does not answer; try again in a moment', {
      retryAfter: 1,
      cause: thrown,
    })
  if (mapped) return new DomainError(mapped, worded[code] ?? message, { cause: thrown })
  const status = statusOf(thrown)
  if (status < 500) return new DomainError(codeOfStatus(status), message, { cause: thrown })
  return new DomainError('Internal', 'something went wrong in mcpd; its log has the details under this request id', {
    cause: thrown,
  })
}

const worded: Record<string, string> = {
  FST_ERR_BAD_URL: 'the path is not a valid URL component',
  FST_ERR_MAX_PARAM_LENGTH: 'a name in the path is too long',
  FST_ERR_CTP_BODY_TOO_LARGE: tooLarge().message,
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'send the body as application/json',
}

/** Whatever a message or a pointer repeats: a credential is not repeated. */
const masked = ({ pointer, code, message }: FieldError): FieldError => ({
  pointer: maskCredentials(pointer),
  code,
  message: maskCredentials(message),
})

export const problemOf = (error: DomainError, requestId: string): Problem => {
  const { kind, name, errors, retryAfter, position } = error.details
  return {
    type: `https://mcpctl.dev/problems/${kebab(error.code)}`,
    title: spaced(error.code),
    status: httpStatus[error.code],
    detail: maskCredentials(error.message),
    instance: `urn:request:${requestId}`,
    reason: error.code,
    ...(kind !== undefined && { kind }),
    ...(name !== undefined && { name: maskCredentials(name) }),
    ...(errors && { errors: errors.map(masked) }),
    ...(retryAfter !== undefined && { retryAfter }),
    ...(position !== undefined && { position }),
  }
}

/** Answers every error as problem details, and logs the ones that are bugs with their cause. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    private readonly logger: Logger,
    private readonly denials: Denials,
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp()
    sendProblem(thrown, http.getRequest<FastifyRequest>(), {
      reply: http.getResponse<FastifyReply>(),
      logger: this.logger,
      denials: this.denials,
    })
  }
}

export const sendProblem = (
  thrown: unknown,
  request: FastifyRequest,
  { reply, logger, denials }: { reply: FastifyReply; logger: Logger; denials: Denials },
): void => {
  const error = asDomainError(thrown)
  const problem = problemOf(error, request.id)
  if (error.code === 'Internal') logger.error({ requestId: request.id, error: thrown }, 'a request failed')
  denials.record(thrown, request)
  if (reply.sent) return
  if (problem.retryAfter !== undefined) reply.header('retry-after', String(problem.retryAfter))
  if (error.details.allow) reply.header('allow', error.details.allow.join(', '))
  if (error.code === 'Unauthorized') reply.header('www-authenticate', 'Bearer realm="mcpd"')
  void reply.status(problem.status).header('content-type', 'application/problem+json').send(JSON.stringify(problem))
}
