// Policies that decide who gets which connection: the scheduler's own, and two usual ones. All have the same budget and cap.

/** The defaults of the scheduler. */
export const limits = {
  maxConnections: 50,
  maxConnectionsPerTenant: 5,
  maxConcurrentConnects: 6,
  maxWaitersPerTenant: 1000,
  affinityMs: 30,
  quantumMs: 10,
  ownConnectionWaitMs: 10,
  starvationMs: 300,
}

/** The real allocator, on a virtual server. */
export class DrrPolicy {
  opened = 0
  #allocator
  #clock

  constructor({ Allocator, clock, server, settings = limits }) {
    this.#clock = clock
    this.#allocator = new Allocator(settings, {
      open: (entry) => {
        this.opened += 1
        server.connect(() => this.#allocator.opened(entry, entry, clock.nowMs))
      },
      close: (entry) => server.close(() => this.#allocator.closed(entry, clock.nowMs)),
      remind: (ms) => clock.after(ms, () => this.#allocator.reconsider(clock.nowMs)),
    })
  }

  acquire(key, request) {
    const entry = this.#allocator.takeIdle(key, this.#clock.nowMs)
    if (entry !== undefined) return request.granted(entry)
    const waiter = { sinceMs: this.#clock.nowMs, holder: undefined, grant: request.granted, reject: request.refused }
    if (!this.#allocator.enqueue(key, key, waiter, this.#clock.nowMs)) request.refused()
  }

  release(entry) {
    this.#allocator.release(entry, this.#clock.nowMs)
  }

  refuseSince(sinceMs) {
    for (const waiter of this.#allocator.leaveOverdue(sinceMs)) waiter.reject()
  }
}

/** The common part of the other two: queues by tenant, and idle connections in order of use. */
class SimplePolicy {
  opened = 0
  queues = new Map()
  #idle = new Set()
  #totals = new Map()
  #openings = new Map()
  #total = 0
  #clock
  #server

  constructor({ clock, server }) {
    this.#clock = clock
    this.#server = server
  }

  acquire(key, request) {
    const own = [...this.#idle].findLast((connection) => connection.key === key)
    if (own !== undefined) {
      this.#idle.delete(own)
      return request.granted(own)
    }
    const queue = this.queues.get(key) ?? []
    if (queue.length >= limits.maxWaitersPerTenant) return request.refused()
    queue.push({ ...request, sinceMs: this.#clock.nowMs })
    this.queues.set(key, queue)
    if (this.unserved(key) === undefined) return undefined
    if (this.#total < limits.maxConnections) {
      this.#total += 1
      this.#reserve(key)
      this.#open(key)
    } else {
      const [victim] = this.#idle
      if (victim !== undefined) {
        this.#idle.delete(victim)
        this.#evict(victim, key)
      }
    }
    return undefined
  }

  release(connection) {
    const key = this.next(connection.key)
    if (key === undefined) this.#idle.add(connection)
    else if (key === connection.key) this.#take(key).granted(connection)
    else this.#evict(connection, key)
  }

  refuseSince(sinceMs) {
    for (const [key, queue] of this.queues) {
      while (queue.length > 0 && queue[0].sinceMs <= sinceMs) queue.shift().refused()
      if (queue.length === 0) this.queues.delete(key)
    }
  }

  /** Finds a tenant's oldest waiter that no connection is being opened for, if the tenant may have one more. */
  unserved(key) {
    const isFull = count(this.#totals, key) >= limits.maxConnectionsPerTenant
    return isFull ? undefined : this.queues.get(key)?.[count(this.#openings, key)]
  }

  #take(key) {
    const queue = this.queues.get(key)
    const waiter = queue?.shift()
    if (queue?.length === 0) this.queues.delete(key)
    return waiter
  }

  #reserve(key) {
    add(this.#totals, key, 1)
    add(this.#openings, key, 1)
  }

  #open(key) {
    this.opened += 1
    this.#server.connect(() => {
      add(this.#openings, key, -1)
      const waiter = this.#take(key)
      if (waiter === undefined) this.release({ key })
      else waiter.granted({ key })
    })
  }

  #evict(connection, key) {
    add(this.#totals, connection.key, -1)
    this.#reserve(key)
    this.#server.close(() => this.#open(key))
  }
}

function count(counts, key) {
  return counts.get(key) ?? 0
}

function add(counts, key, change) {
  counts.set(key, count(counts, key) + change)
}

/** First in, first out over all tenants; the least recently used idle connection makes room. */
export class FifoPolicy extends SimplePolicy {
  next(holder) {
    let next
    let oldestMs = Infinity
    for (const [key, queue] of this.queues) {
      const waiter = key === holder ? queue[0] : this.unserved(key)
      if (waiter === undefined || waiter.sinceMs >= oldestMs) continue
      oldestMs = waiter.sinceMs
      next = key
    }
    return next
  }
}

/** Round robin: one request of each tenant after the other. */
export class RoundRobinPolicy extends SimplePolicy {
  next(holder) {
    for (const [key, queue] of this.queues) {
      if (key !== holder && this.unserved(key) === undefined) continue
      // The tenant goes to the end of the round.
      this.queues.delete(key)
      this.queues.set(key, queue)
      return key
    }
    return undefined
  }
}
