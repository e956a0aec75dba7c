import build from './acceptance-setup'
import startPostgres from './global-setup'

/** Programs for the acceptance suites, PostgreSQL for the integration suites of the docker project. */
export default async (): Promise<void> => {
  build()
  await startPostgres()
}
