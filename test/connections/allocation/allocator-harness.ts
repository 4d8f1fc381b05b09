import { expect } from 'vitest'
import type { AllocatorLimits, PoolEntry, Waiter } from '../../../src/connections/allocation/ports.js'
import { Allocator } from '../../../src/connections/allocation/allocator.js'

type TestEntry = PoolEntry<number, string>

/** An allocator whose connections open and close when the test says so. */
export class AllocatorHarness {
  readonly opening: TestEntry[] = []
  readonly closing: TestEntry[] = []
  readonly busy: TestEntry[] = []
  /** When the allocator asked for a reminder. */
  readonly reminders: number[] = []
  readonly granted: number[] = []
  /** Callers that held a connection already when they asked for one. */
  readonly nested = new Set<number>()
  readonly failed: number[] = []
  readonly waiting = new Map<number, { readonly key: string; readonly waiter: Waiter<number, string> }>()
  readonly limits: AllocatorLimits
  readonly allocator: Allocator<number, string>
  nowMs = 0
  #last = 0

  constructor(limits: Partial<AllocatorLimits> = {}) {
    this.limits = {
      maxConnections: 4,
      maxConnectionsPerTenant: 2,
      maxConcurrentConnects: 2,
      maxWaitersPerTenant: 50,
      affinityMs: 30,
      quantumMs: 30,
      ownConnectionWaitMs: 0,
      starvationMs: 1000,
      ...limits,
    }
    this.allocator = new Allocator<number, string>(this.limits, {
      open: (entry) => this.opening.push(entry),
      close: (entry) => this.closing.push(entry),
      remind: (ms) => this.reminders.push(this.nowMs + ms),
    })
  }

  acquire(key: string, holder?: object): number {
    const id = (this.#last += 1)
    const entry = this.allocator.takeIdle(key, this.nowMs)
    if (entry !== undefined) {
      entry.holder = holder
      this.busy.push(entry)
      this.granted.push(id)
      return id
    }
    if (holder !== undefined && this.busy.some((held) => held.holder === holder)) this.nested.add(id)
    const waiter: Waiter<number, string> = {
      sinceMs: this.nowMs,
      holder,
      grant: (granted) => {
        this.waiting.delete(id)
        granted.holder = holder
        this.busy.push(granted)
        this.granted.push(id)
      },
      reject: () => {
        this.waiting.delete(id)
        this.failed.push(id)
      },
    }
    this.waiting.set(id, { key, waiter })
    if (!this.allocator.enqueue(key, key, waiter, this.nowMs)) waiter.reject(new Error('full'))
    return id
  }

  /** Takes an idle connection of the tenant out for upkeep, until it is released like any other. */
  takeOut(key: string): void {
    const entry = this.allocator.tenants.get(key)?.idle[0]
    if (entry === undefined || !this.allocator.takeOut(entry, this.nowMs)) return
    this.allocator.announceReturn(entry)
    this.busy.push(entry)
  }

  finishOpen(at = 0): void {
    const [entry] = this.opening.splice(at % Math.max(1, this.opening.length), 1)
    if (entry !== undefined) this.allocator.opened(entry, 1, this.nowMs)
  }

  failOpen(at = 0): void {
    const [entry] = this.opening.splice(at % Math.max(1, this.opening.length), 1)
    if (entry !== undefined) this.allocator.openFailed(entry, this.nowMs)?.reject(new Error('down'))
  }

  findFull(scope: 'tenant' | 'server', ms: number): void {
    const entry = this.opening.shift()
    if (entry !== undefined) this.allocator.openDeferred(entry, scope, this.nowMs + ms, this.nowMs)
  }

  finishClose(at = 0): void {
    const [entry] = this.closing.splice(at % Math.max(1, this.closing.length), 1)
    if (entry !== undefined) this.allocator.closed(entry, this.nowMs)
  }

  release(at = 0): void {
    const [entry] = this.busy.splice(at % Math.max(1, this.busy.length), 1)
    if (entry !== undefined) this.allocator.release(entry, this.nowMs)
  }

  releaseOf(key: string): void {
    this.release(this.busy.findIndex((entry) => entry.tenant.key === key))
  }

  /** Lets time pass. */
  wait(ms: number): void {
    this.nowMs += ms
    for (const reminder of this.reminders.splice(0)) {
      if (reminder <= this.nowMs) this.allocator.reconsider(this.nowMs)
      else this.reminders.push(reminder)
    }
  }

  /** Lets everything that is under way finish. */
  settle(): void {
    while (this.opening.length + this.closing.length + this.busy.length + this.reminders.length > 0) {
      this.wait(1)
      this.finishClose()
      this.finishOpen()
      this.release()
    }
  }

  check(): void {
    const entries = [...this.opening, ...this.closing, ...this.busy]
    const tenants = [...this.allocator.tenants.values()]
    const idle = tenants.reduce((sum, tenant) => sum + tenant.idle.length, 0)
    expect(this.allocator.idle).toBe(idle)
    expect(this.allocator.budget.total).toBe(entries.length + idle)
    expect(this.allocator.budget.total).toBeLessThanOrEqual(this.limits.maxConnections)
    expect(this.allocator.budget.opening).toBeLessThanOrEqual(this.limits.maxConcurrentConnects)
    expect(this.allocator.waiting).toBe(this.waiting.size)
    for (const tenant of tenants) {
      expect(tenant.total).toBeLessThanOrEqual(this.limits.maxConnectionsPerTenant)
      expect(tenant.total + tenant.waiters.size).toBeGreaterThan(0)
      if (tenant.idle.length > 0) expect(tenant.waiters.size).toBe(0)
    }
  }
}
