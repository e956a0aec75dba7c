import { Controller, Get } from '@nestjs/common'
import { Authorize } from '@mcpctl/resource'
import type { OpenAPIObject } from '@nestjs/swagger'

/** Holds the API's description once all routes are known. */
export class ApiDescription {
  document: OpenAPIObject | undefined
}

/** The API's description, as OpenAPI 3.1. */
@Authorize('authenticated')
@Controller()
export class OpenApiController {
  constructor(private readonly description: ApiDescription) {}

  @Get('openapi.json')
  openapi(): OpenAPIObject | undefined {
    return this.description.document
  }
}
