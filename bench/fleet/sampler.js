/**
 * Counts the connections to tenant databases until it is stopped, as PostgreSQL sees them.
 *
 * @param {{ admin: import('pg').Client, prefix: string }} fleet @param {number} [everyMs]
 */
export function sampleConnections({ admin, prefix }, everyMs = 50) {
  const samples = []
  const started = performance.now()
  let stopped = false
  const done = (async () => {
    while (!stopped) {
      const { rows } = await admin.query(
        `select count(*)::int as count from pg_stat_activity
          where backend_type = 'client backend' and starts_with(datname, $1)`,
        [prefix],
      )
      samples.push({ ms: Math.round(performance.now() - started), connections: rows[0].count })
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
  })()
  return async () => {
    stopped = true
    await done
    return samples
  }
}
