// The tenant pool against a plain pg.Pool, without HTTP: the same database, number of connections and callers, a lookup
// by primary key that repeats. They take turns, round by round.
import pg from 'pg'
import { figure } from '../figures.js'

const select = 'select id, name from items where id = $1'
const callers = 16
const rounds = 11
const roundMs = 1500

/** @param {pg.Pool} tenantPool @param {string} databaseUrl of the tenant's database @param {number} connections */
export async function compareDirectly(tenantPool, databaseUrl, connections) {
  const plainPool = new pg.Pool({ connectionString: databaseUrl, max: connections })
  try {
    const pools = [plainPool, tenantPool]
    for (const pool of pools) await measure(pool, roundMs / 2)
    const rates = new Map(pools.map((pool) => [pool, []]))
    for (let round = 0; round < rounds; round += 1) {
      for (const pool of round % 2 === 0 ? pools : pools.toReversed())
        rates.get(pool).push(await measure(pool, roundMs))
    }
    return figure(
      'query by primary key, no HTTP',
      'queries/s',
      'a plain pg.Pool',
      rates.get(tenantPool),
      rates.get(plainPool),
      '>= 1.3',
    )
  } finally {
    await plainPool.end()
  }
}

async function measure(pool, durationMs) {
  const started = performance.now()
  let count = 0
  const call = async () => {
    while (performance.now() - started < durationMs) {
      const id = 1 + Math.floor(Math.random() * 10_000)
      const { rows } = await pool.query(select, [id])
      if (rows[0].id !== id) throw new Error('not the row that was asked for')
      count += 1
    }
  }
  await Promise.all(Array.from({ length: callers }, call))
  return (count * 1000) / (performance.now() - started)
}
