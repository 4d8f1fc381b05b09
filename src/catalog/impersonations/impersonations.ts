import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import type { ActorOption } from '../../core/audit-actor.js'
import { TenancyError } from '../../core/errors/errors.js'
import { maxImpersonationMinutes } from '../../core/identity/impersonation.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { parseTenantRef } from '../../core/tenants/slug.js'
import { noMember } from '../access/lookup.js'
import { noteChange } from '../keyed-request.js'
import { actor, parse, schemaOf, shownLine, tenant, user } from '../input.js'
import { findTenant, isNamed, tenantNotFound } from '../tenants/tenant-row.js'
import { inOrder, inTransaction } from '../transaction.js'

/** An administrator of the installation who wants to act as a member. */
export interface StartImpersonationInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the member. */
  readonly user: string
  /** Why: one line of 1 to 500 characters, which the tenant's Owners read. */
  readonly reason: string
  /** After how many minutes it ends, 1 to 60. */
  readonly minutes: number
  /** Id of the administrator, who is not the member. */
  readonly actor: string
}

/** An impersonation to end. */
export interface EndImpersonationInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the impersonation. */
  readonly impersonation: string
}

/** Which impersonations of a tenant to list. */
export interface ListImpersonationsInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the last one of the page before. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** An administrator of the installation who acts, or acted, as a member of a tenant. */
export interface Impersonation {
  /** As the claim `jti` of its token. */
  readonly id: string
  readonly tenantId: string
  /** Id of the member. */
  readonly userId: string
  readonly administratorId: string
  /** null: the administrator was erased. */
  readonly administratorName: string | null
  readonly reason: string
  readonly createdAt: Date
  readonly expiresAt: Date
  /** When it was ended before its time; null: it was not. */
  readonly endedAt: Date | null
  /** Id of the user who ended it; null: it was not, or an operator did, or the member or the tenant was not active any more. */
  readonly endedBy: string | null
}

/** An impersonation that was written down, and what its token needs. */
export interface BegunImpersonation {
  readonly impersonation: Impersonation
  /** The member's token epoch. */
  readonly epoch: number
}

/** Impersonations in the catalog. Their tokens are made by others. */
export interface ImpersonationStore {
  /** Writes one down, with its entries in the audit log. */
  beginImpersonation(input: StartImpersonationInput): Promise<BegunImpersonation>
  endImpersonation(input: EndImpersonationInput): Promise<Impersonation>
  listImpersonations(input: ListImpersonationsInput): Promise<Impersonation[]>
}

const startInput = schemaOf<StartImpersonationInput>()(
  z.strictObject({
    ...{ tenant, user, reason: shownLine(1, 500), actor: user },
    minutes: z.int().min(1).max(maxImpersonationMinutes),
  }),
)
const id = z.guid('must be a UUID').transform((text) => text.toLowerCase())
const endInput = schemaOf<EndImpersonationInput>()(z.strictObject({ tenant, impersonation: id, actor }))
const listInput = schemaOf<ListImpersonationsInput>()(
  z.strictObject({ tenant, after: id.optional(), limit: z.int().min(1).max(1000).default(100) }),
)

const columns = `impersonation.id, tenant_id as "tenantId", user_id as "userId", administrator_id as "administratorId",
  (select name from users where users.id = administrator_id) as "administratorName", reason,
  impersonation.created_at as "createdAt", expires_at as "expiresAt", ended_at as "endedAt", ended_by as "endedBy"`

/** Creates the store of impersonations. */
export function createImpersonationStore(catalog: SqlPool): ImpersonationStore {
  return {
    beginImpersonation(input) {
      const { tenant: ref, user: userId, reason, minutes, actor: administratorId } = parse(startInput, input)
      if (userId === administratorId) throw refused('an administrator acts as somebody else, not as themselves')
      const newId = uuidv7()
      return inTransaction(catalog, async (client) => {
        const [{ id: tenantId, status }, administratorEpoch, epoch] = await inOrder([
          findTenant(client, ref, { lock: true }),
          requireAdministrator(client, administratorId),
          requireMember(client, ref, userId),
        ])
        if (status === 'suspended') throw new TenancyError('TENANCY_TENANT_SUSPENDED')
        if (status === 'deleted') throw new TenancyError('TENANCY_TENANT_DELETED')
        const [{ rows }] = await inOrder([
          client.query<Impersonation>(
            `insert into impersonations as impersonation
               (id, tenant_id, user_id, administrator_id, administrator_epoch, reason, expires_at)
             values ($1, $2, $3, $4, $5, $6, now() + make_interval(mins => $7)) returning ${columns}`,
            [newId, tenantId, userId, administratorId, administratorEpoch, reason, minutes],
          ),
          // The reason is not in the chain, which nobody can erase: it may tell about a person.
          client.query(
            `insert into audit_log (actor_id, tenant_id, action, subject, after)
             values ($1, $2, 'impersonation.start', 'user:' || $3, $4)`,
            [administratorId, tenantId, userId, { impersonation: newId, minutes }],
          ),
          client.query(
            `insert into audit_log (actor_id, action, subject, after) values ($1, 'token.issue', 'user:' || $2, $3)`,
            [administratorId, userId, { jti: newId, tenant: tenantId, expiresIn: minutes * 60, impersonation: true }],
          ),
          noteChange(client, 'impersonation.start', `impersonation:${newId}`),
          client.commit(),
        ])
        return { impersonation: rows[0] as Impersonation, epoch }
      })
    },

    endImpersonation: (input) => {
      const { tenant: ref, impersonation, actor: by } = parse(endInput, input)
      return inTransaction(catalog, async (client) => {
        const { id: tenantId } = await findTenant(client, ref, { lock: true })
        const [{ rows: ended }, { rows }] = await inOrder([
          client.query<{ id: string }>(
            `with ended as (
               update impersonations set ended_at = now(), ended_by = $3
               where id = $1 and tenant_id = $2 and ended_at is null and expires_at > now() returning id, user_id
             )
             insert into audit_log (actor_id, tenant_id, action, subject, before)
             select $3, $2, 'impersonation.end', 'user:' || user_id, jsonb_build_object('impersonation', id) from ended
             returning id`,
            [impersonation, tenantId, by ?? null],
          ),
          client.query<Impersonation>(
            `select ${columns} from impersonations as impersonation where id = $1 and tenant_id = $2`,
            [impersonation, tenantId],
          ),
        ])
        const [found] = rows
        if (found === undefined) throw new TenancyError('TENANCY_IMPERSONATION_NOT_FOUND')
        if (ended.length > 0) await client.commit()
        return found
      })
    },

    async listImpersonations(input) {
      const { tenant: ref, after, limit } = parse(listInput, input)
      const { id: tenantId } = await findTenant(catalog, ref)
      const { rows } = await catalog.query<Impersonation>(
        `select ${columns} from impersonations as impersonation
         where tenant_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3`,
        [tenantId, after ?? null, limit],
      )
      return rows
    },
  }
}

/** The token epoch of an administrator. Their role cannot end until the impersonation is written down. */
async function requireAdministrator(client: SqlClient, userId: string): Promise<number> {
  const { rows } = await client.query<{ epoch: number }>(
    `select token_epoch as epoch from platform_administrators as role join users on users.id = role.user_id
     where role.user_id = $1 and disabled_at is null and email_verified for share of role`,
    [userId],
  )
  if (rows[0] === undefined) throw refused(`the user ${userId} does not administer the installation`)
  return rows[0].epoch
}

/** The token epoch of a member. The statement finds the tenant itself, so that it travels with the others. */
async function requireMember(client: SqlClient, tenantRef: string, userId: string): Promise<number> {
  const ref = parseTenantRef(tenantRef)
  if (ref === undefined) throw tenantNotFound(tenantRef)
  const { rows } = await client.query<{ isAdmitted: boolean; epoch: number }>(
    `select is_active and disabled_at is null and email_verified as "isAdmitted", token_epoch as epoch
     from user_tenants as membership join users on users.id = membership.user_id
     where membership.user_id = $1 and membership.tenant_id = (select id from tenants where ${isNamed(ref.kind, '$2')})`,
    [userId, ref.value],
  )
  if (rows[0] === undefined) throw noMember(userId, ref.value)
  if (!rows[0].isAdmitted) throw refused(`the user ${userId} has no access themselves`)
  return rows[0].epoch
}

function refused(why: string): TenancyError {
  return new TenancyError('TENANCY_IMPERSONATION_REFUSED', `Cannot act as this member: ${why}`)
}
