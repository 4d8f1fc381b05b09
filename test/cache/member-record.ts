import type { MemberRecord } from '../../src/core/access/access.js'

const at = new Date('2026-01-02T03:04:05.678Z')

/** What the catalog might say of a member, at tenant epoch 4 and rules epoch 7. */
export function memberRecord(userId: string, tenantId: string, changesAtMs: number | null = null): MemberRecord {
  return {
    tenant: {
      id: tenantId,
      slug: 'acme',
      name: 'Acme',
      status: 'active',
      contactEmail: null,
      maxUsers: null,
      labels: [],
      databaseId: null,
      createdBy: null,
      createdAt: at,
      updatedAt: at,
      suspendedAt: null,
      deletedAt: null,
    },
    membership: { userId, tenantId, isActive: true, isDefault: false, createdAt: at, updatedAt: at },
    grants: { roles: ['Member'], permissionIds: [1, 5], changesAtMs },
    schemaVersion: 2,
    tenantEpoch: 4,
    rulesEpoch: 7,
  }
}
