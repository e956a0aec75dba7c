import { text } from 'node:stream/consumers'
import { DockerDriver, type DockerDriverOptions } from '@mcpctl/runtime/docker-driver'
import type { InstanceOrder } from '@mcpctl/runtime/driver'
import { ProcessDriver, type ProcessDriverOptions } from '@mcpctl/runtime/process-driver'

/** A process that starts instances and then waits to be killed, as a daemon would be. */
type Input = { orders: InstanceOrder[] } & (
  { driver: 'process'; options: ProcessDriverOptions } | { driver: 'docker'; options: DockerDriverOptions }
)

/** Bytes as JSON writes them. */
const toBytes = (_: string, value: unknown): unknown =>
  (value as { type?: unknown } | null)?.type === 'Buffer' ? Buffer.from((value as { data: number[] }).data) : value

const input = JSON.parse(await text(process.stdin), toBytes) as Input
const driver = input.driver === 'process' ? new ProcessDriver(input.options) : new DockerDriver(input.options)
const units = await Promise.all(input.orders.map((order) => driver.start(order)))
process.stdout.write(`${JSON.stringify(units)}\n`)
setInterval(() => undefined, 60_000)
