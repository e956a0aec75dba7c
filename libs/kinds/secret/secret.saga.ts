import { Injectable } from '@nestjs/common'
import { CommandBus } from '@nestjs/cqrs'
import type { Term } from '@mcpctl/reconcile'
import { RequestRunner, type CommandContext } from '@mcpctl/resource'
import { ReportUndecryptable, SweepSecret } from './secret.commands'

const daemon = { uid: '00000000-0000-0000-0000-000000000000', name: 'system:reconciler' }

/** Sends what the daemon itself finds out about secrets as commands. */
@Injectable()
export class SecretSaga {
  constructor(
    private readonly commands: CommandBus,
    private readonly requests: RequestRunner,
  ) {}

  sweep({ name, term }: Term, uid: string): Promise<void> {
    return this.send((context) => new SweepSecret(uid, context), { name, term })
  }

  /** Raises the alarm, once for each state that is found. */
  report(uid: string, found: { version: number; keys: string[] }): Promise<void> {
    return this.send((context) => new ReportUndecryptable(uid, found, context))
  }

  private async send(
    command: (context: CommandContext) => object,
    fence?: { name: string; term: number },
  ): Promise<void> {
    await this.requests.run({ meta: { actor: daemon }, ...(fence && { fence }) }, async (context) => {
      await this.commands.execute(command(context))
      return {}
    })
  }
}
