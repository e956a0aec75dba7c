import 'reflect-metadata'
import { Controller, Get, type Type } from '@nestjs/common'
import { describe, expect, it } from '@jest/globals'
import { kindModules } from '@mcpctl/kinds/modules'
import { Authorize } from '@mcpctl/resource'
import { controllers } from '../app.module'
import { undeclaredRoutes } from './declared'

@Controller('a')
class Careless {
  @Get()
  nothing() {
    return this
  }

  @Authorize({ role: 'view', kind: 'servers' })
  @Get('b')
  said() {
    return this
  }

  notServed() {
    return this
  }
}

@Authorize('authenticated')
@Controller('c')
class Careful {
  @Get()
  inherited() {
    return this
  }
}

const controllersIn = (module: object): Type[] => (Reflect.getMetadata('controllers', module) ?? []) as Type[]

describe('a route that does not say what it needs', () => {
  it('is found', () => {
    expect(undeclaredRoutes([Careless, Careful])).toEqual(['Careless.nothing'])
  })
  it('is nowhere in mcpd', () => {
    const served = [...controllers, ...kindModules.flatMap(controllersIn)]
    expect(served.length).toBeGreaterThan(10)
    expect(undeclaredRoutes(served)).toEqual([])
  })
})
