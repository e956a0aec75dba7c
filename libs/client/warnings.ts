import type { IncomingMessage } from 'node:http'

/** Node joins headers of one name with commas. */
export const warningsOf = ({ headers: { warning = '' } }: IncomingMessage): string[] =>
  [...warning.matchAll(/\b299 \S+ "([^"]*)"/g)].map(([, text = '']) => text)
