import { subscribe } from 'node:diagnostics_channel'

subscribe('tenants2fast:connection:identity-mismatch', (message) => {
  const { tenant, error } = message as { tenant: string; error: Error }
  console.error('wrong database', tenant, error.message) // alert the person on call
})

declare const tenancy: import("tenants2fast").Tenancy; declare function work(): Promise<void>
void [tenancy, work]
export {}
