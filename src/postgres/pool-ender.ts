/** The part of a `pg.Client` that {@link createPoolEnder} needs; the types of `pg` leave out `connection`. */
interface PoolClient {
  unref?(): void
  readonly connection?: { readonly stream: { destroy(): void } }
}

/** The part of a `pg.Pool` that {@link createPoolEnder} needs. */
interface EndedPool {
  on(event: 'connect' | 'remove', listener: (client: PoolClient) => void): unknown
  /** Callers that wait for a connection; the types of `pg` leave it out. */
  readonly _pendingQueue?: { readonly callback: (error: Error) => void }[]
  end(): Promise<void>
}

/** Options of the function that {@link createPoolEnder} returns. */
interface EndPoolOptions {
  /** Whether to wait for connections that are in use; if not, they are broken off. Default: true. */
  readonly wait?: boolean
}

const endedMessages: ReadonlySet<string> = new Set([
  'The pool was ended',
  // Of pg-pool, which gives it no code.
  'Cannot use a pool after calling end on the pool',
])

/**
 * Makes the function that ends a new pool, so that none of its connections keeps the process alive: a server that is gone
 * without a word never answers, and its sockets stay half open. Call it before the pool opens a connection.
 */
export function createPoolEnder(pool: EndedPool): (options?: EndPoolOptions) => Promise<void> {
  const open = new Set<PoolClient>()
  pool.on('connect', (client) => open.add(client))
  pool.on('remove', (client) => open.delete(client))
  return async ({ wait = true } = {}) => {
    const last = [...open]
    const ended = pool.end()
    // An ending pool gives out no connection any more, and lets callers wait for one until their time is up.
    const waiting = pool._pendingQueue?.splice(0) ?? []
    for (const { callback } of waiting) callback(new Error('The pool was ended'))
    if (wait) await ended
    for (const client of last) {
      // The queries under way fail, and their timers end, which would keep the process alive, too.
      if (!wait) client.connection?.stream.destroy()
      client.unref?.()
    }
  }
}

/** Tells whether a pool refused a caller because it was ended. */
export function isPoolEnded(error: unknown): boolean {
  return error instanceof Error && endedMessages.has(error.message)
}
