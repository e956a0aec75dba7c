import type { INestApplication, Type } from '@nestjs/common'
import { ModulesContainer } from '@nestjs/core'
import { needOf } from '@mcpctl/resource'

/** Under which Nest keeps the path of a route's method. */
const PATH = 'path'

type Method = (...parameters: unknown[]) => unknown

const methodsOf = (controller: Type): [string, Method][] => {
  const prototype = controller.prototype as Record<string, unknown>
  return Object.getOwnPropertyNames(prototype).flatMap((name): [string, Method][] => {
    const method = name === 'constructor' ? undefined : prototype[name]
    return typeof method === 'function' ? [[name, method as Method]] : []
  })
}

/** The routes of controllers that do not say what they need, as `Controller.method`. */
export const undeclaredRoutes = (controllers: readonly Type[]): string[] =>
  controllers.flatMap((controller) =>
    methodsOf(controller)
      .filter(([, method]) => Reflect.hasMetadata(PATH, method) && needOf(controller, method) === undefined)
      .map(([name]) => `${controller.name}.${name}`),
  )

/** Every controller that the program serves. */
export const controllersOf = (app: INestApplication): Type[] =>
  [...app.get(ModulesContainer).values()].flatMap((module) =>
    [...module.controllers.values()].map(({ metatype }) => metatype as Type),
  )

/** A route of which nobody has said who may use it must not be served. Throws with its name. */
export const requireDeclared = (app: INestApplication): void => {
  const undeclared = undeclaredRoutes(controllersOf(app))
  if (undeclared.length > 0) throw new Error(`routes without @Authorize: ${undeclared.join(', ')}`)
}
