/** The one recipe for decorators and their metadata, as Nest and class-validator need them: used by the tests and by the bundles. */
export const swcRecipe = {
  jsc: {
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
    target: 'es2022',
    keepClassNames: true,
    experimental: { keepImportAttributes: true },
  },
  module: { type: 'es6' },
}
