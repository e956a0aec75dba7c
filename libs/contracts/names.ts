/** A DNS label with dots: what every kind's names look like unless the kind narrows it. */
export const namePattern = /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/

/** Server names carry no dot: a project's tools are called `server__tool`, and clients accept no dot there. */
export const serverNamePattern = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** Users may be called as their mail addresses. */
export const userNamePattern = /^[a-z0-9]([-a-z0-9.@_+]{0,61}[a-z0-9])?$/

export const uidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
