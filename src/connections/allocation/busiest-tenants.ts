import type { Slot, TenantQueue } from './ports.js'
import type { TenantUse } from '../scheduler.js'

/** What each tenant has and waits for; those who use or wait for most first. `open`: every slot with a connection. */
export function busiestTenants<Connection, Owner extends { readonly label: string }>(
  tenants: Iterable<TenantQueue<Connection, Owner>>,
  open: Iterable<Slot<Connection, Owner>>,
  nowMs: number,
): TenantUse[] {
  const lent = new Map<string, { inUse: number; usedMs: number }>()
  for (const { state, sinceMs, tenant } of open) {
    if (state !== 'busy') continue
    const { inUse, usedMs } = lent.get(tenant.key) ?? { inUse: 0, usedMs: 0 }
    lent.set(tenant.key, { inUse: inUse + 1, usedMs: usedMs + nowMs - sinceMs })
  }
  const uses = [...tenants].map(({ key, owner, total, waiters, usedMs }) => ({
    key,
    label: owner?.label ?? key,
    connections: total,
    inUse: lent.get(key)?.inUse ?? 0,
    waiting: waiters.size,
    waitingMs: Math.round(nowMs - Math.min(waiters.oldestSinceMs, nowMs)),
    usedMs: Math.round(usedMs + (lent.get(key)?.usedMs ?? 0)),
  }))
  return uses.toSorted((a, b) => demand(b) - demand(a) || b.usedMs - a.usedMs)
}

function demand({ inUse, waiting }: TenantUse): number {
  return inUse + waiting
}
