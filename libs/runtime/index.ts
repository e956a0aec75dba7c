export * from './driver'
export * from './drivers'
export { parsePackage } from './package-name'
export { checkRemoteUrl } from './remote-url'
