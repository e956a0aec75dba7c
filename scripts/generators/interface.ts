import 'reflect-metadata'
import { Resources } from '@mcpctl/resource'
import { resources } from '@mcpctl/kinds/modules'
import { NestFactory } from '@nestjs/core'
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import { AppModule, type Opened } from '../../apps/mcpd/src/app.module'
import { httpAdapter, type HttpDependencies } from '../../apps/mcpd/src/http/server'
import { manifestSchemaOf, openApiOf } from '../../apps/mcpd/src/openapi'
import { projected } from '../../apps/mcpd/src/store/projected'

// Nest's preview reads the modules' decorators and creates none of their parts, so none of these is ever touched.
const nothingOpened = {
  logger: {},
  store: { resources: new Resources(resources), objects: {}, requests: {} },
  drivers: {},
  connections: {},
  gateway: {},
  daemon: {},
} as unknown as Opened

// Read when the web framework is made.
const noDoor = { trustedProxies: [] as string[] } as unknown as HttpDependencies

/** Which functions fold which kind: their names, since their code is known elsewhere. */
const projections = () =>
  projected(new Resources(resources)).map(({ kind, category, view, references }) => {
    if (view.name === '' || references?.name === '')
      throw new Error(`kind ${kind} is folded by a function without a name`)
    return [kind, category, view.name, references?.name ?? null]
  })

/** What mcpd offers and accepts, as documents; opens neither a port nor a database. */
export const describeInterface = async () => {
  const module = AppModule.of(nothingOpened)
  const app = await NestFactory.create<NestFastifyApplication>(module, httpAdapter(noDoor), {
    logger: false,
    preview: true,
  })
  const openapi = openApiOf(app, resources)
  return { openapi, manifestSchema: manifestSchemaOf(openapi, resources), projections: projections() }
}
