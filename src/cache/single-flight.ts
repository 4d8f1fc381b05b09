/** A read of the catalog under way. */
export interface Flight<Value> {
  readonly startedAtMs: number
  readonly promise: Promise<Value>
}

/** What a running read knows of itself. */
export interface FlightState {
  readonly startedAtMs: number
  /** Whether any of these users or tenants changed, as far as was heard, since the read began. */
  isInvalidated(ids: readonly string[]): boolean
}

/** Reads of the catalog that requests share, and the fence against those that a change overtook. */
export interface SingleFlight {
  /**
   * Joins the read of `key` that began no earlier than `oldestMs`, or begins one. While an older one is running,
   * its end is awaited first, so that at most one read of a key runs at a time.
   */
  share<Value>(key: string, oldestMs: number, read: (state: FlightState) => Promise<Value>): Promise<Value>
  /** Says that a user or tenant changed; without an id: that anything may have. */
  invalidate(id?: string): void
}

/** Makes an empty set of {@link SingleFlight}. */
export function createSingleFlight(): SingleFlight {
  const flights = new Map<string, Flight<unknown> & { isJoinable: boolean }>()
  const changedIds = new Set<Set<string | undefined>>()

  return {
    async share<Value>(key: string, oldestMs: number, read: (state: FlightState) => Promise<Value>) {
      for (;;) {
        const flight = flights.get(key)
        if (flight === undefined) break
        if (flight.isJoinable && flight.startedAtMs >= oldestMs) return flight.promise as Promise<Value>
        await flight.promise.catch(() => {})
      }
      const startedAtMs = performance.now()
      const changed = new Set<string | undefined>()
      changedIds.add(changed)
      const isInvalidated = (ids: readonly string[]) => changed.has(undefined) || ids.some((id) => changed.has(id))
      const promise = read({ startedAtMs, isInvalidated }).finally(() => {
        changedIds.delete(changed)
        flights.delete(key)
      })
      flights.set(key, { startedAtMs, promise, isJoinable: true })
      return promise
    },
    invalidate(id) {
      for (const changed of changedIds) changed.add(id)
      // Whoever comes after the news must not be answered by a read that began before it.
      for (const flight of flights.values()) flight.isJoinable = false
    },
  }
}
