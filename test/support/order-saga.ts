import type { RecordedEvent, Saga } from '@mcpctl/event-store'

export interface OrderState {
  seen: string[]
}

export interface OrderOutput {
  act: string
  note: string
}

/** A saga about the orders that begin with its name: each event `{ order, note, outputs? }` is noted, and answered by one output or so many. */
export const orderSaga = (name: string, version = 1): Saga<OrderState, OrderOutput> => ({
  name,
  version,
  correlate: ({ data: { order } }) => (typeof order === 'string' && order.startsWith(`${name}-`) ? order : undefined),
  initial: { seen: [] },
  evolve: ({ seen }, { data }) => ({ seen: [...seen, noteOf(data)] }),
  react: (_, { data }) =>
    Array.from({ length: Number(data.outputs ?? 1) }, (_, n) => ({ act: `act-${n}`, note: noteOf(data) })),
})

const noteOf = ({ note }: RecordedEvent['data']) => (typeof note === 'string' ? note : '')
