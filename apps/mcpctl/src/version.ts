import manifest from '../../../package.json'

export const clientVersion = manifest.version
