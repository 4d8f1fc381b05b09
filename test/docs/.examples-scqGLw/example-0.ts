import { setTimeout as sleep } from 'node:timers/promises'
import { findTenancyError } from 'tenants2fast'

try {
  await work()
} catch (error) {
  const busy = findTenancyError(error, 'TENANCY_CONNECTION_TIMEOUT')
  if (busy === undefined) throw error
  await sleep((busy.retryAfterSeconds ?? 1) * 1000)
}

declare const tenancy: import("tenants2fast").Tenancy; declare function work(): Promise<void>
void [tenancy, work]
export {}
