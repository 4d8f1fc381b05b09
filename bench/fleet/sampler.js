// Connections to tenants' databases, and to that of the schemas, as PostgreSQL counts them: alike for all variants.
import { schemasDatabase } from './schemas.js'

/** @typedef {{ admin: import('pg').Client, prefix: string }} Fleet */

/** @param {Fleet} fleet @returns {Promise<number>} that are open now */
export async function openConnections({ admin, prefix }) {
  const { rows } = await admin.query(
    `select count(*)::int as count from pg_stat_activity
      where backend_type = 'client backend' and (starts_with(datname, $1) or datname = $2)`,
    [prefix, schemasDatabase],
  )
  return rows[0].count
}

/** @param {Fleet} fleet @returns {Promise<number>} that were ever opened */
export async function sessionsOpened({ admin, prefix }) {
  const { rows } = await admin.query(
    'select sum(sessions)::int as count from pg_stat_database where starts_with(datname, $1) or datname = $2',
    [prefix, schemasDatabase],
  )
  return rows[0].count
}

/** Backends take a moment to end. Waits, so that the next variant's peak is its own. @param {Fleet} fleet */
export async function nobodyConnected(fleet) {
  while ((await openConnections(fleet)) > 0) await new Promise((resolve) => setTimeout(resolve, 50))
}

/** Counts the open connections until it is stopped. @param {Fleet} fleet @param {number} [everyMs] */
export function sampleConnections(fleet, everyMs = 50) {
  const samples = []
  const started = performance.now()
  let stopped = false
  const done = (async () => {
    while (!stopped) {
      const connections = await openConnections(fleet)
      samples.push({ ms: Math.round(performance.now() - started), connections })
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
  })()
  return async () => {
    stopped = true
    await done
    return samples
  }
}
