import { TenancyError } from '../../core/errors/errors.js'

/**
 * Names what a statement needs from its session for longer than a transaction. Behind a pooler in transaction mode it
 * would be lost, or seen by another client, before the next statement. Undefined: the text shows no such need.
 *
 * This guards against mistakes. It is the pooler that prevents leaks: it resets sessions after each transaction.
 */
export function sessionNeedOf(text: string): string | undefined {
  const sql = text.replace(/--[^\n]*|\/\*[^]*?\*\//g, ' ')
  // The script has a transaction of its own.
  if (/^\s*(?:begin|start)\b/i.test(sql)) return undefined
  const [, statement] =
    /(?:^|;)\s*(set(?!\s+(?:local|transaction|constraints)\b)|listen|prepare(?!\s+transaction\b)|load|declare|create\s+(?:(?:global|local)\s+)?temp(?:orary)?)\b/i.exec(
      sql,
    ) ?? []
  if (statement !== undefined) return statement.replace(/\s+/g, ' ').toUpperCase()
  const [, lock] = /\b(pg_(?:try_)?advisory_lock(?:_shared)?)\s*\(/i.exec(sql) ?? []
  if (lock !== undefined) return lock.toLowerCase()
  return /\bset_config\s*\([^)]*,\s*false\s*\)/i.test(sql) ? 'set_config(…, false)' : undefined
}

/** The error for such a statement outside of a transaction. */
export function sessionRequired(need: string): TenancyError {
  return new TenancyError(
    'TENANCY_CONNECTION_SESSION_REQUIRED',
    `${need} outside of a transaction has no effect behind a pooler: send it inside of one, ` +
      'with what is to be done under it (SET LOCAL, pg_advisory_xact_lock, ON COMMIT DROP)',
  )
}

/** Drops a query's name: a prepared statement belongs to a session, so the query is sent as an unnamed one. */
export function withoutName(query: unknown): unknown {
  if (typeof query !== 'object' || query === null || !('name' in query) || 'submit' in query) return query
  const { name: _name, ...unnamed } = query
  return unnamed
}

/** Answers a query with an error as `pg` does: through the query object, the callback or the promise. */
export function refuseQuery(query: unknown, callback: unknown, error: Error): Promise<never> | undefined {
  const tell = typeof callback === 'function' ? (callback as (error: Error) => void) : undefined
  if (typeof query === 'object' && query !== null && 'handleError' in query) {
    const submittable = query as { handleError(error: Error): void }
    process.nextTick(() => submittable.handleError(error))
    return undefined
  }
  if (tell === undefined) return Promise.reject(error)
  process.nextTick(() => tell(error))
  return undefined
}
