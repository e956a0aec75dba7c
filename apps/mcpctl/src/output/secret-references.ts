const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const placeText = (secret: unknown, { key, version, optional }: Record<string, unknown>): string => {
  const pinned = typeof version === 'number' ? ` v${String(version)}` : ''
  return `<secret ${String(secret)}/${String(key)}${pinned}${optional === true ? ', optional' : ''}>`
}

/** `{name: TOKEN, valueFrom: {secretRef: …}}` → `TOKEN=<secret gh/token v3>`, a file by its path; undefined for what refers to no secret. */
export const secretReferenceText = (item: Record<string, unknown>): string | undefined => {
  const { name, valueFrom, secret, path } = item
  if (isRecord(valueFrom) && isRecord(valueFrom['secretRef'])) {
    const { secretRef } = valueFrom
    return `${String(name)}=${placeText(secretRef['name'], secretRef)}`
  }
  return typeof secret === 'string' && typeof path === 'string' ? `${path}=${placeText(secret, item)}` : undefined
}
