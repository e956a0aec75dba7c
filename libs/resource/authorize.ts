import { SetMetadata } from '@nestjs/common'
import type { Action } from '@mcpctl/access'
import type { Role } from '@mcpctl/contracts'
import type { FastifyRequest } from 'fastify'

/**
 * The role that a route needs on the object of its path: kind and name are `:plural` and `:name`, and of a POST the name in the body. Without a
 * name the role is needed on all objects of the kind.
 */
export interface RoleNeed {
  role: Role | ((request: FastifyRequest) => Role)
  kind?: string
  /** One object that the role reaches will do: a list shows those and no others. */
  some?: true
  /** The answer may go on: it is cut off when the right is lost meanwhile. */
  live?: true
}

/** The operation that a route needs, on the object of its path where it has one. */
export interface OperationNeed {
  operation: Action
  kind?: string
  live?: true
}

/**
 * `authenticated`: everybody who has shown a valid token. `inside`: the controller decides, and refuses by the same rights. `open`: anybody, without
 * a token even.
 */
export type Need = RoleNeed | OperationNeed | 'authenticated' | 'inside' | 'open'

const KEY = 'mcpctl:authorize'

/** Says what a route, or every route of a controller, needs. A route that says nothing is refused, and the daemon does not start with it. */
export const Authorize = (need: Need): MethodDecorator & ClassDecorator => SetMetadata(KEY, need)

/** What a route needs; undefined when nobody has said. */
export const needOf = (controller: object, route: object): Need | undefined =>
  (Reflect.getMetadata(KEY, route) ?? Reflect.getMetadata(KEY, controller)) as Need | undefined
