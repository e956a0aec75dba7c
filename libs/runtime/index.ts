export * from './driver'
