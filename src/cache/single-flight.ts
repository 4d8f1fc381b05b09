/** A running read of the catalog. */
export interface Flight<Value> {
  readonly startedAtMs: number
  readonly promise: Promise<Value>
}

/** The state of a running read, handed to it. */
export interface FlightState {
  readonly startedAtMs: number
  /** Tells whether a change of any of these users or tenants was reported since the read began. */
  isInvalidated(ids: readonly string[]): boolean
}

/** Reads of the catalog that concurrent requests share; a reported change keeps later requests from joining older reads. */
export interface SingleFlight {
  /**
   * Joins the running read of `key` if it began at `oldestMs` or later, else starts one. An older read is awaited first, so
   * at most one read of a key runs at a time.
   */
  share<Value>(key: string, oldestMs: number, read: (state: FlightState) => Promise<Value>): Promise<Value>
  /** Reports a change of a user or tenant; without an id, of anything. */
  invalidate(id?: string): void
}

/** Makes a {@link SingleFlight} without running reads. */
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
      // A request that arrives after the change must not be answered by a read that began before it.
      for (const flight of flights.values()) flight.isJoinable = false
    },
  }
}
