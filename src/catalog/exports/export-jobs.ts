import { randomUUID } from 'node:crypto'
import type { ExportJob, ExportJobs } from '../../core/backup/export-ports.js'
import type { SqlPool } from '../../core/sql-client.js'
import { inOrder, inTransaction } from '../transaction.js'

/** A job that has killed so many processes is not given to another one. */
const maxAttempts = 3

const isMine = `id = $1 and holder = $2 and state = 'running'`
const lease = (parameter: string) => `now() + make_interval(secs => ${parameter} / 1000.0)`

/** Ends exports with an error, and writes the entries. `updated`: an update that returns ids. */
const failing = (where: string, code: string) => `
  with failed as (
    update tenant_exports set state = 'failed', error_code = ${code}, finished_at = now(), held_until = null,
      expires_at = now() + make_interval(secs => keep_seconds)
    where ${where} returning id, tenant_id, requested_by
  )
  insert into audit_log (actor_id, tenant_id, action, subject, after)
    select requested_by, tenant_id, 'export.fail', 'export:' || id, jsonb_build_object('error', ${code}) from failed`

/**
 * Creates the catalog's part of the work on exports.
 *
 * @param lockKey key of the advisory lock under which jobs are taken, decimal text of a `bigint`
 */
export function createExportJobs(catalog: SqlPool, lockKey: string): ExportJobs {
  return {
    async take(maxRunning, leaseMs) {
      const { rows: waiting } = await catalog.query(
        `select from tenant_exports where state = 'queued' or held_until <= now() limit 1`,
      )
      if (waiting.length === 0) return undefined
      return inTransaction(catalog, async (client) => {
        // Two processes that count at once would both see room.
        const [, { rows }] = await inOrder([
          client.query('select pg_advisory_xact_lock($1::bigint)', [lockKey]),
          client.query<ExportJob>(
            `update tenant_exports set state = 'running', holder = $1, held_until = ${lease('$3')}, attempts = attempts + 1,
               started_at = coalesce(started_at, now())
             where id = (
                 select id from tenant_exports
                 where (state = 'queued' or held_until <= now()) and attempts < ${maxAttempts} and expires_at > now()
                 order by id limit 1 for update skip locked
               ) and (select count(*) from tenant_exports where held_until > now()) < $2
             returning id, tenant_id as "tenantId", requested_by as "requestedBy", recipients, holder`,
            [randomUUID(), maxRunning, leaseMs],
          ),
          client.commit(),
        ])
        return rows[0]
      })
    },
    async renew({ id, holder }, leaseMs) {
      const { rowCount } = await catalog.query(
        `update tenant_exports set held_until = ${lease('$3')} where ${isMine}`,
        [id, holder, leaseMs],
      )
      return rowCount === 1
    },
    async finish({ id, holder }, { takenAt, rows, bytes, sha256 }) {
      const { rowCount } = await catalog.query(
        `update tenant_exports set state = 'ready', held_until = null, finished_at = now(), taken_at = $3, rows = $4, bytes = $5,
           sha256 = $6, expires_at = now() + make_interval(secs => keep_seconds)
         where ${isMine}`,
        [id, holder, takenAt, rows, bytes, sha256],
      )
      return rowCount === 1
    },
    async fail({ id, holder }, code) {
      await catalog.query(failing(isMine, '$3::text'), [id, holder, code])
    },
    async giveBack({ id, holder }) {
      await catalog.query(
        `update tenant_exports set state = 'queued', held_until = null, holder = null, attempts = attempts - 1 where ${isMine}`,
        [id, holder],
      )
    },
    async expire() {
      await catalog.query(
        failing(`held_until <= now() and attempts >= ${maxAttempts}`, `'TENANCY_EXPORT_INTERRUPTED'::text`),
      )
      await catalog.query(
        'delete from tenant_exports where expires_at <= now() and (held_until is null or held_until <= now())',
      )
    },
    async keysInUse(keys) {
      const { rows } = await catalog.query<{ key: string }>(
        `select key from unnest($1::text[]) as key
         where key in (select id || '.' || holder from tenant_exports where state in ('running', 'ready'))`,
        [keys],
      )
      return rows.map(({ key }) => key)
    },
  }
}
