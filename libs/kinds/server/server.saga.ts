import { Injectable } from '@nestjs/common'
import { CommandBus } from '@nestjs/cqrs'
import type { Term } from '@mcpctl/reconcile'
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

  schedule(term: Term, uid: string, identity: InstanceIdentity): Promise<void> {
    return this.send(term, (context) => new ScheduleInstance(uid, identity, context))
  }

  observe(term: Term, uid: string, observation: InstanceObservation): Promise<void> {
    return this.send(term, (context) => new ObserveInstance(uid, observation, context))
  }

  report(term: Term, serverUid: string, observation: ServerObservation): Promise<void> {
    return this.send(term, (context) => new ReportServerStatus(serverUid, observation, context))
  }

  confirmDeleted(term: Term, serverUid: string): Promise<void> {
    return this.send(term, (context) => new ConfirmServerDeleted(serverUid, context))
  }

  private async send(term: Term, command: (context: CommandContext) => object): Promise<void> {
    await this.requests.run(
      { meta: { actor: reconciler }, fence: { name: term.name, term: term.term } },
      async (context) => {
        await this.commands.execute(command(context))
        return {}
      },
    )
  }
}
