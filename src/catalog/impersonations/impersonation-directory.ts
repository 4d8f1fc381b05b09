import { TenancyError } from '../../core/errors/errors.js'
import type { CurrentImpersonation, ImpersonationDirectory } from '../../core/identity/impersonation.js'
import type { Tenant } from '../../core/model.js'
import { queryRepeated, type SqlPool } from '../../core/sql-client.js'
import { isUuid } from '../../core/uuid.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'

interface Row extends Omit<CurrentImpersonation, 'administrator'> {
  readonly administratorId: string
  readonly administratorName: string | null
  readonly isInForce: boolean
  readonly isAdmitted: boolean
  readonly isLoggedOut: boolean
  readonly isMember: boolean
  readonly status: Tenant['status']
}

// A role that was given again after it had ended is another one.
const query = `
  select current.id, current.reason, current.expires_at as "expiresAt", current.administrator_id as "administratorId",
    administrator.name as "administratorName", tenants.status,
    current.ended_at is null and current.expires_at > now() and coalesce(
      administrator.disabled_at is null and administrator.email_verified
        and administrator.token_epoch = current.administrator_epoch and role.granted_at <= current.created_at, false
    ) as "isInForce",
    person.disabled_at is null and person.email_verified as "isAdmitted",
    coalesce(person.tokens_valid_after > current.created_at, false) as "isLoggedOut",
    coalesce(membership.is_active, false) as "isMember"
  from impersonations as current
  join tenants on tenants.id = current.tenant_id
  join users as person on person.id = current.user_id
  left join user_tenants as membership on (membership.user_id, membership.tenant_id) = (current.user_id, current.tenant_id)
  left join users as administrator on administrator.id = current.administrator_id
  left join platform_administrators as role on role.user_id = current.administrator_id
  where current.id = $1 and current.user_id = $2 and current.tenant_id = $3 and current.administrator_id = $4`

/** Creates the directory of impersonations: one query for each request. */
export function createImpersonationDirectory(catalog: SqlPool): ImpersonationDirectory {
  return {
    async find({ subject, tenant, impersonation: { id, administrator } }) {
      const values = [id, subject, tenant ?? '', administrator]
      const { rows } = values.every(isUuid)
        ? await catalogAnswer(queryRepeated<Row>(catalog, query, values), 'impersonations')
        : { rows: [] }
      const [row] = rows
      if (row === undefined) throw new TenancyError('TENANCY_AUTH_TOKEN_INVALID')
      if (!row.isAdmitted) throw new TenancyError('TENANCY_AUTH_USER_REFUSED')
      if (row.status === 'suspended') throw new TenancyError('TENANCY_TENANT_SUSPENDED')
      if (row.status === 'deleted') throw new TenancyError('TENANCY_TENANT_DELETED')
      if (!row.isMember) throw new TenancyError('TENANCY_TENANT_FORBIDDEN')
      // Last: whatever is said above has ended it, too, and says more.
      if (!row.isInForce || row.isLoggedOut) throw new TenancyError('TENANCY_AUTH_TOKEN_INVALID')
      const { reason, expiresAt, administratorId, administratorName } = row
      const found = {
        id: row.id,
        reason,
        expiresAt,
        administrator: { id: administratorId, name: administratorName ?? '' },
      }
      return Object.freeze({ ...found, administrator: Object.freeze(found.administrator) })
    },
  }
}
