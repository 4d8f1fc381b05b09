import type { Logger } from '../../core/logger.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { chainOf } from './chains.js'

/** An anchor that its chain contradicts. */
export interface BrokenAnchor {
  readonly chain: string
  /** The anchored place in the chain. */
  readonly seq: number
  /** Number of entries in the chain up to that place. Fewer than `seq`: the chain was cut off. */
  readonly entries: number
  /** The entry at that place now; null: none. */
  readonly entryId: string | null
}

// Rows that only look like anchors are ignored. `case` is needed because PostgreSQL may evaluate a cast before a filter.
const anchors = `
  select case when subject ~ '^tenant:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then substr(subject, 8)::uuid end as chain,
    case when after ->> 'length' ~ '^[0-9]{1,18}$' then (after ->> 'length')::bigint end as length,
    after ->> 'hash' as hash
  from audit_log
  where action = 'audit.anchor' and tenant_id is null and ($1::uuid is null or subject = 'tenant:' || $1::uuid)`

const brokenQuery = `
  select distinct on (anchor.chain) anchor.chain::text as chain, anchor.length::float8 as seq, entry.id::text as "entryId",
    (select coalesce(max(seq), 0)::float8 from audit_log as entry where ${chainOf} = anchor.chain and seq <= anchor.length) as entries
  from (${anchors}) as anchor
  left join audit_log as entry on ${chainOf} = anchor.chain and entry.seq = anchor.length
  where anchor.chain is not null and anchor.length > 0 and encode(entry.hash, 'hex') is distinct from anchor.hash
  order by anchor.chain, anchor.length`

/** Finds the first broken anchor of each chain, or of one chain. */
export async function findBrokenAnchors(client: SqlClient, only?: string): Promise<BrokenAnchor[]> {
  const { rows } = await client.query<BrokenAnchor>(brokenQuery, [only ?? null])
  return rows
}

/** Anchors every chain that has grown since its last anchor and returns their number. Safe to run several times at once. */
export async function anchorChains(catalog: SqlPool): Promise<number> {
  let all = 0
  for (;;) {
    // A few hundred at a time, because the installation's chain is locked meanwhile.
    const { rows } = await catalog.query<{ anchored: number }>('select anchor_audit_chains() as anchored')
    const anchored = rows[0]?.anchored ?? 0
    all += anchored
    if (anchored === 0) return all
  }
}

/** Options of {@link keepAnchored}. */
export interface KeepAnchoredOptions {
  readonly catalog: SqlPool
  readonly logger: Logger
  /** Time between two runs, milliseconds. Default: an hour. */
  readonly intervalMs?: number
}

/** Anchors the chains periodically until the returned function is called. Its timer does not keep the process alive. */
export function keepAnchored({ catalog, logger, intervalMs = 3_600_000 }: KeepAnchoredOptions): () => Promise<void> {
  let running: Promise<unknown> | undefined
  const timer = setInterval(() => {
    running ??= anchorChains(catalog)
      .catch((error: unknown) =>
        logger.warn({ err: error }, 'The audit chains could not be anchored; tried again later'),
      )
      .finally(() => {
        running = undefined
      })
  }, intervalMs)
  timer.unref()
  return async () => {
    clearInterval(timer)
    await running
  }
}
