interface Sent {
  name?: unknown
  metadata?: { name?: unknown } | null
}

/** The name that a body gives, before anything of it is checked. */
export const nameIn = (body: unknown): string | undefined => {
  if (typeof body !== 'object' || body === null) return undefined
  const { name, metadata } = body as Sent
  const given = typeof metadata === 'object' && metadata !== null ? metadata.name : name
  return typeof given === 'string' ? given : undefined
}
