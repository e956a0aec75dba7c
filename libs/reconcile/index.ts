export { systemClock, type Clock } from './clock'
export { KeyedQueue, TerminalError, type Failure, type KeyedQueueOptions } from './keyed-queue'
export { Leader, type LeaderOptions } from './leader'
export type { Happened, Reconciler, Term } from './reconciler'
