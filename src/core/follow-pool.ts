/** The part of a `pg.Pool` that {@link followPool} needs. */
interface FollowedPool {
  on(event: 'connect' | 'remove', listener: (client: object) => void): unknown
  end(): Promise<void>
}

/** Options of the function that {@link followPool} returns. */
interface EndPoolOptions {
  /** Whether to wait for connections that are in use. Default: true. */
  readonly wait?: boolean
}

/**
 * Follows the connections of a new pool. The function that is returned ends the pool so that nothing of it keeps the
 * process alive: a server that is gone without a word never answers, and its sockets stay half open.
 */
export function followPool(pool: FollowedPool): (options?: EndPoolOptions) => Promise<void> {
  const open = new Set<object>()
  pool.on('connect', (client) => open.add(client))
  pool.on('remove', (client) => open.delete(client))
  return async ({ wait = true } = {}) => {
    const last = [...open]
    const ended = pool.end()
    if (wait) await ended
    for (const client of last) if ('unref' in client && typeof client.unref === 'function') client.unref()
  }
}
