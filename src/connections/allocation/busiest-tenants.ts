import type { PoolEntry, TenantQueue } from './ports.js'

/** What one tenant uses at this moment. */
export interface TenantUse {
  readonly key: string
  /** What its pool was called, for people. */
  readonly label: string
  /** Includes connections that are being opened or closed. */
  readonly connections: number
  readonly inUse: number
  readonly waiting: number
  /** For how long the oldest waiter has waited. */
  readonly waitingMs: number
  /** Connection time since the tenant last had no connection and no waiter. */
  readonly usedMs: number
}

/** Lists what each tenant uses and waits for, the busiest tenants first. `open`: every entry with a connection. */
export function busiestTenants<Connection, Owner extends { readonly label: string }>(
  tenants: Iterable<TenantQueue<Connection, Owner>>,
  open: Iterable<PoolEntry<Connection, Owner>>,
  nowMs: number,
): TenantUse[] {
  const checkedOut = new Map<string, { inUse: number; usedMs: number }>()
  for (const { state, sinceMs, tenant } of open) {
    if (state !== 'busy') continue
    const { inUse, usedMs } = checkedOut.get(tenant.key) ?? { inUse: 0, usedMs: 0 }
    checkedOut.set(tenant.key, { inUse: inUse + 1, usedMs: usedMs + nowMs - sinceMs })
  }
  const uses = [...tenants].map(({ key, owner, total, waiters, usedMs }) => ({
    key,
    label: owner?.label ?? key,
    connections: total,
    inUse: checkedOut.get(key)?.inUse ?? 0,
    waiting: waiters.size,
    waitingMs: Math.round(nowMs - Math.min(waiters.oldestSinceMs, nowMs)),
    usedMs: Math.round(usedMs + (checkedOut.get(key)?.usedMs ?? 0)),
  }))
  return uses.toSorted((a, b) => demand(b) - demand(a) || b.usedMs - a.usedMs)
}

function demand({ inUse, waiting }: TenantUse): number {
  return inUse + waiting
}
