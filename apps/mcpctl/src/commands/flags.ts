import type { Command } from 'commander'
import { maskSecrets } from '@mcpctl/contracts'
import { usage } from '../errors'

/** Collects a flag that may be repeated. */
export const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value]

/** `K=V` words as a record; the value may hold further signs of equality. The error never repeats a value. */
export const pairsOf = (words: readonly string[], flag: string): Record<string, string> => {
  const pairs = words.map((word): [string, string] => {
    const at = word.indexOf('=')
    if (at < 1) throw usage(`${flag} needs NAME=VALUE${at === -1 ? `; "${maskSecrets(word)}" has no "="` : ''}`)
    return [word.slice(0, at), word.slice(at + 1)]
  })
  const names = pairs.map(([name]) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw usage(`${flag} names "${twice}" twice`)
  return Object.fromEntries(pairs)
}

/** A number, or undefined when the flag was not given. */
export const numberOf = (text: string | undefined, flag: string): number | undefined => {
  if (text === undefined) return undefined
  if (!/^-?\d{1,9}$/.test(text))
    throw usage(`invalid argument "${maskSecrets(text)}" for ${flag}: must be a whole number`)
  return Number(text)
}

/** A selector as typed. An empty term would select everything, which nobody means who writes a selector. */
export const selectorOf = (text: string | undefined, flag: string): string | undefined => {
  if (text?.split(',').some((term) => term.trim() === ''))
    throw usage(`invalid selector "${text}": ${flag} has an empty term; write it like key=value,other=value`)
  return text
}

/** The record without what is undefined. */
export const present = (record: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))

/** A command below another, with a summary for the list there and for its own help. */
export const named = (parent: Command, name: string, summary: string): Command =>
  parent.command(name).summary(summary).description(summary)
