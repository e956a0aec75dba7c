export * from './token'
export * from './tokens'
