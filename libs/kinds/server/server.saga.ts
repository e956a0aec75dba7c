import { Injectable } from '@nestjs/common'
import { CommandBus } from '@nestjs/cqrs'
import type { Fence } from '@mcpctl/event-store'
import { RequestRunner, type CommandContext } from '@mcpctl/resource'
import { ObserveInstance, ScheduleInstance } from '../instance/instance.commands'
import type { InstanceIdentity, InstanceObservation } from '../instance/instance.kind'
import { ConfirmServerDeleted, ReportServerStatus } from './server.commands'
import type { ServerObservation } from './server.decider'

const reconciler = { uid: '00000000-0000-0000-0000-000000000000', name: 'system:reconciler' }

/** Sends what the reconciler decided and saw as commands, under the leader's fence. Answers once the views show it. */
@Injectable()
export class ServerSaga {
  constructor(
    private readonly commands: CommandBus,
    private readonly requests: RequestRunner,
  ) {}

  schedule(fence: Fence, uid: string, identity: InstanceIdentity): Promise<void> {
    return this.send(fence, (context) => new ScheduleInstance(uid, identity, context))
  }

  observe(fence: Fence, uid: string, observation: InstanceObservation): Promise<void> {
    return this.send(fence, (context) => new ObserveInstance(uid, observation, context))
  }

  report(fence: Fence, serverUid: string, observation: ServerObservation): Promise<void> {
    return this.send(fence, (context) => new ReportServerStatus(serverUid, observation, context))
  }

  confirmDeleted(fence: Fence, serverUid: string): Promise<void> {
    return this.send(fence, (context) => new ConfirmServerDeleted(serverUid, context))
  }

  private async send(fence: Fence, command: (context: CommandContext) => object): Promise<void> {
    await this.requests.run({ meta: { actor: reconciler }, fence }, async (context) => {
      await this.commands.execute(command(context))
      return {}
    })
  }
}
