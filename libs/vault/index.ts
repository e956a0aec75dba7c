export { SecretValue } from './secret-value'
export * from './types'
