import type { Pool, PoolClient } from 'pg'

/** Runs `work` in a READ COMMITTED transaction, which is taken back when it throws. */
export const inTransaction = async <T>(pool: Pool, work: (tx: PoolClient) => Promise<T>): Promise<T> => {
  const client = await pool.connect()
  const lost = () => {}
  client.on('error', lost)
  let isBroken = false
  try {
    // A daemon that freezes in it lets go of what it has locked.
    await client.query(`begin isolation level read committed; set local idle_in_transaction_session_timeout = '1s'`)
    const answer = await work(client)
    await client.query('commit')
    return answer
  } catch (error) {
    isBroken = await client.query('rollback').then(
      () => false,
      () => true,
    )
    throw error
  } finally {
    client.off('error', lost)
    client.release(isBroken)
  }
}
