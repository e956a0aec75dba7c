/** As much of casbin as is used: the package is there only where the benchmark was run. */
declare module 'casbin' {
  interface Enforcer {
    enableLog(enable: boolean): void
    enforce(...request: string[]): Promise<boolean>
  }
  export const newModel: (text: string) => object
  export const StringAdapter: new (policy: string) => object
  export const newEnforcer: (model: object, adapter: object) => Promise<Enforcer>
}
