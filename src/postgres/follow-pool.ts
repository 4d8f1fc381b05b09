/** The part of a `pg.Client` that {@link followPool} needs; the types of `pg` leave out `connection`. */
interface FollowedClient {
  unref?(): void
  readonly connection?: { readonly stream: { destroy(): void } }
}

/** The part of a `pg.Pool` that {@link followPool} needs. */
interface FollowedPool {
  on(event: 'connect' | 'remove', listener: (client: FollowedClient) => void): unknown
  /** Who waits for a connection; the types of `pg` leave it out. */
  readonly _pendingQueue?: { readonly callback: (error: Error) => void }[]
  end(): Promise<void>
}

/** Options of the function that {@link followPool} returns. */
interface EndPoolOptions {
  /** Whether to wait for connections that are in use; if not, they are broken off. Default: true. */
  readonly wait?: boolean
}

/**
 * Follows the connections of a new pool. The function that is returned ends the pool so that nothing of it keeps the
 * process alive: a server that is gone without a word never answers, and its sockets stay half open.
 */
export function followPool(pool: FollowedPool): (options?: EndPoolOptions) => Promise<void> {
  const open = new Set<FollowedClient>()
  pool.on('connect', (client) => open.add(client))
  pool.on('remove', (client) => open.delete(client))
  return async ({ wait = true } = {}) => {
    const last = [...open]
    const ended = pool.end()
    // A pool that ends gives nobody a connection any more, and lets who waits for one wait until the time is out.
    const waiting = pool._pendingQueue?.splice(0) ?? []
    for (const { callback } of waiting) callback(new Error('The pool was ended'))
    if (wait) await ended
    for (const client of last) {
      // The queries under way fail, and their timers end: those would keep the process alive, too.
      if (!wait) client.connection?.stream.destroy()
      client.unref?.()
    }
  }
}
