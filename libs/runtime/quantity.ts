const factors: Record<string, number> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
}

/** Bytes of a Kubernetes quantity such as `512Mi`. Undefined when it is none. */
export const parseMemory = (text: string): number | undefined => {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(k|M|G|T|Ki|Mi|Gi|Ti)?$/.exec(text) ?? []
  const bytes = Math.round(Number(number) * (factors[unit] ?? NaN))
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined
}

/** Billionths of a CPU of a Kubernetes quantity such as `500m` or `1.5`. Undefined when it is none. */
export const parseCpu = (text: string): number | undefined => {
  const [, number, milli] = /^(\d+(?:\.\d+)?)(m)?$/.exec(text) ?? []
  const nano = Math.round(Number(number) * (milli === undefined ? 1e9 : 1e6))
  return Number.isSafeInteger(nano) && nano > 0 ? nano : undefined
}
