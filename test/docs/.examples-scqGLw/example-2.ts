const user = await tenancy.createUser({ email: 'ada@example.com', name: 'Ada', emailVerified: true })
const tenant = await tenancy.createTenant({ name: 'Acme', slug: 'acme', owner: user.id })
const bob = await tenancy.createUser({ email: 'bob@example.com', emailVerified: true })
await tenancy.addMember({ tenant: 'acme', user: bob.id, roles: ['Admin'], actor: user.id })
await tenancy.suspendTenant({ tenant: 'acme' })  // ends with reactivateTenant({ tenant: 'acme' })
await tenancy.deleteTenant({ tenant: 'acme' })   // undeleteTenant({ tenant: 'acme' }) within TENANT_RETENTION_DAYS
await tenancy.purgeTenant({ tenant: 'acme' })    // a deleted tenant, now and for good

declare const tenancy: import("tenants2fast").Tenancy; declare function work(): Promise<void>
void [tenancy, work]
export {}
