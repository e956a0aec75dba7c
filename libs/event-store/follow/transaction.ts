import type { Pool, PoolClient } from 'pg'

/**
 * Lends a connection to `use`, which opens and ends transactions on it as it likes. Whatever it leaves open when it throws is
 * taken back. The process outlives a connection that breaks in between.
 */
export const withClient = async <T>(pool: Pool, use: (client: PoolClient) => Promise<T>): Promise<T> => {
  const client = await pool.connect()
  const lost = () => {}
  client.on('error', lost)
  let broken = false
  try {
    return await use(client)
  } catch (error) {
    broken = await client.query('rollback').then(
      () => false,
      () => true,
    )
    throw error
  } finally {
    client.off('error', lost)
    client.release(broken)
  }
}
