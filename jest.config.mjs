import { swcRecipe } from './scripts/lib/swc.mjs'

const transform = { '^.+\\.ts$': ['@swc/jest', swcRecipe] }

const project = (displayName, testMatch, more = {}) => ({
  displayName,
  testMatch,
  transform,
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^@mcpctl/(.*)$': '<rootDir>/libs/$1', '^(\\.{1,2}/.*)\\.js$': '$1' },
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.cache/'],
  ...more,
})

const dockerOnly = ['\\.docker\\.', '/node_modules/', '/dist/']

/**
 * unit: pure. integration: a real PostgreSQL, real child processes. acceptance: the built mcpd, mcpctl and mcplocal.
 * docker: what needs a Docker Engine as well; `.ci/run` starts one.
 */
export default {
  // Real databases and processes on a busy machine: a limit against hanging, not a measure.
  testTimeout: 60_000,
  projects: [
    project('unit', ['<rootDir>/{apps,libs,test}/**/*.spec.ts'], {
      testPathIgnorePatterns: ['\\.int\\.spec\\.ts$', '/test/acceptance/', ...dockerOnly],
    }),
    project('integration', ['<rootDir>/{apps,libs,test}/**/*.int.spec.ts'], {
      testPathIgnorePatterns: dockerOnly,
      globalSetup: '<rootDir>/test/support/global-setup.ts',
      globalTeardown: '<rootDir>/test/support/global-teardown.ts',
    }),
    project('acceptance', ['<rootDir>/test/acceptance/**/*.spec.ts'], {
      testPathIgnorePatterns: dockerOnly,
      globalSetup: '<rootDir>/test/support/acceptance-setup.ts',
    }),
    project('docker', ['<rootDir>/{apps,libs,test}/**/*.docker.spec.ts'], {
      globalSetup: '<rootDir>/test/support/docker-setup.ts',
      globalTeardown: '<rootDir>/test/support/global-teardown.ts',
    }),
  ],
}
