import { setTimeout as sleep } from 'node:timers/promises'
import { isTenancyError } from '../../core/errors/errors.js'
import type { Logger } from '../../core/logger.js'
import type { SqlPool } from '../../core/sql-client.js'
import { checkDomain, type DomainToCheck } from './domain-row.js'
import type { ResolveTxt } from './txt-resolver.js'

const batch = 50
const atATime = 8

/**
 * Looks again for the records of domains that are due: every 24 hours, and every hour while one fails. A process takes up to 50
 * for ten minutes, so that no other one works on them; those of a process that ends meanwhile are due again then. Each domain
 * takes one statement. Those of deleted tenants wait until the tenant is restored.
 *
 * @returns how many were looked at
 */
export async function checkDueDomains(catalog: SqlPool, resolveTxt: ResolveTxt): Promise<number> {
  const { rows } = await catalog.query<DomainToCheck>(
    `update tenant_domains set next_check_at = now() + interval '10 minutes'
     where id in (
       select id from tenant_domains as due where next_check_at <= now()
         and exists (select from tenants where tenants.id = due.tenant_id and tenants.status <> 'deleted')
       order by next_check_at limit ${batch} for update skip locked
     )
     returning id, purpose, name, challenge`,
  )
  const failures: unknown[] = []
  for (let start = 0; start < rows.length; start += atATime) {
    await Promise.all(
      rows.slice(start, start + atATime).map(async (domain) => {
        try {
          await checkDomain(catalog, resolveTxt, domain, null)
        } catch (error) {
          // Removed while it was looked for.
          if (!isTenancyError(error, 'TENANCY_DOMAIN_NOT_FOUND')) failures.push(error)
        }
      }),
    )
  }
  // The others have been looked at: one tenant that is locked keeps no other one's domain proven.
  if (failures.length > 0) throw failures[0]
  return rows.length
}

/** What {@link keepProven} needs. */
export interface KeepProvenOptions {
  readonly catalog: SqlPool
  readonly resolveTxt: ResolveTxt
  readonly logger: Logger
  /** Time between two looks for domains that are due, milliseconds. Default: a minute. */
  readonly idleMs?: number
}

/** Checks domains that are due until the returned function is called. Its timer does not keep the process alive. */
export function keepProven({ catalog, resolveTxt, logger, idleMs = 60_000 }: KeepProvenOptions): () => Promise<void> {
  const stopping = new AbortController()
  const run = async (): Promise<void> => {
    for (;;) {
      await sleep(idleMs * (0.5 + Math.random()), undefined, { signal: stopping.signal, ref: false }).catch(() => {})
      if (stopping.signal.aborted) return
      try {
        while (!stopping.signal.aborted && (await checkDueDomains(catalog, resolveTxt)) === batch);
      } catch (error) {
        logger.warn({ err: error }, 'Domains of tenants could not be checked; tried again later')
      }
    }
  }
  const running = run()
  return async () => {
    stopping.abort()
    await running
  }
}
