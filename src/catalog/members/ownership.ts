import { z } from 'zod'
import type { RoleName } from '../../core/access/access.js'
import type { ActorOption } from '../../core/audit-actor.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { refuseToChangeMember, refuseToGiveMore } from '../access/authority.js'
import { commitChange, findRole, noMember } from '../access/lookup.js'
import { createChange } from '../change.js'
import { actor, name, parse, schemaOf, tenant, tenantRef, user } from '../input.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder } from '../transaction.js'

/** An offer of a tenant's ownership to another member. */
export interface OfferOwnershipInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the Owner who gives it. */
  readonly from: string
  /** Id of the active member who is to have it. */
  readonly to: string
  /** Name of the role that the giver has instead of Owner, beside other roles they hold. Default: `Admin`. */
  readonly keep?: RoleName | undefined
}

/** The answer of the member to whom the ownership is offered. */
export interface OwnershipAnswerInput {
  /** Id or slug. */
  readonly tenant: string
  /** Id of the member who answers. */
  readonly user: string
}

/** An offer to withdraw. */
export interface WithdrawOwnershipInput extends ActorOption {
  /** Id or slug. */
  readonly tenant: string
}

/** An open offer of ownership. */
export interface OwnershipOffer {
  /** Id of the tenant. */
  readonly tenant: string
  /** Id of the Owner who gives it. */
  readonly from: string
  /** Id of the member who is to have it. */
  readonly to: string
  /** Name of the role that the giver will have instead. */
  readonly keep: string
  readonly createdAt: Date
  readonly expiresAt: Date
}

/** Handing over the ownership of a tenant: offered by an Owner, accepted by the other member. */
export interface Ownership {
  /**
   * Offers the ownership for 7 days. One offer of a tenant is open at a time. It ends with the membership of either side.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND (the receiver: none, inactive or disabled),
   *   TENANCY_ACCESS_GRANT_REFUSED (the giver is no Owner), TENANCY_ACCESS_ROLE_NOT_FOUND, TENANCY_OWNERSHIP_OFFER_EXISTS
   */
  offerOwnership(input: OfferOwnershipInput): Promise<OwnershipOffer>
  /** Finds the open offer of a tenant; undefined: there is none. @throws TENANCY_TENANT_NOT_FOUND, TENANCY_REQUEST_INVALID */
  findOwnershipOffer(tenant: string): Promise<OwnershipOffer | undefined>
  /**
   * Makes the receiver an Owner and gives the giver the role that was chosen instead. The giver must still be an Owner. Returns
   * the offer that was accepted.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_OWNERSHIP_OFFER_NOT_FOUND, TENANCY_MEMBER_NOT_FOUND,
   *   TENANCY_ACCESS_GRANT_REFUSED
   */
  acceptOwnership(input: OwnershipAnswerInput): Promise<OwnershipOffer>
  /** Declines the offer, as its receiver. @throws TENANCY_TENANT_NOT_FOUND, TENANCY_OWNERSHIP_OFFER_NOT_FOUND */
  declineOwnership(input: OwnershipAnswerInput): Promise<void>
  /**
   * Withdraws the offer: as the giver, as another Owner, or as the installation.
   * @throws TENANCY_TENANT_NOT_FOUND, TENANCY_OWNERSHIP_OFFER_NOT_FOUND, TENANCY_ACCESS_CHANGE_REFUSED
   */
  withdrawOwnership(input: WithdrawOwnershipInput): Promise<void>
}

const offerOwnershipInput = schemaOf<OfferOwnershipInput>()(
  z
    .strictObject({ tenant, from: user, to: user, keep: name.default('Admin') })
    .refine(({ from, to }) => from !== to, { path: ['to'], message: 'must be another user than from' }),
)
const ownershipAnswerInput = schemaOf<OwnershipAnswerInput>()(z.strictObject({ tenant, user }))
const withdrawOwnershipInput = schemaOf<WithdrawOwnershipInput>()(z.strictObject({ tenant, actor }))

const lifetime = '7 days'
const offerQuery = `
  select offer.tenant_id as tenant, from_user_id as "from", to_user_id as "to", role.name as keep,
    offer.created_at as "createdAt", expires_at as "expiresAt"
  from ownership_offers as offer join roles as role on role.id = kept_role_id
  where offer.tenant_id = $1 and expires_at > now()`

/** Creates the service that hands over the ownership of tenants. */
export function createOwnership(catalog: SqlPool): Ownership {
  const change = createChange(catalog)
  return {
    offerOwnership: change.ofTenant(offerOwnershipInput, async (client, { from, to, keep }, { tenantId }) => {
      const scope = { tenantId, actorId: from }
      const role = findRole(client, tenantId, keep, { lock: true })
      const [, { id: roleId }, , , open] = await inOrder([
        refuseToGiveMore(client, scope, { roles: ['Owner', keep] }),
        role,
        refuseOwner(client, tenantId, keep),
        requireActive(client, tenantId, to),
        readOffer(client, tenantId),
      ])
      if (open !== undefined) {
        throw new TenancyError(
          'TENANCY_OWNERSHIP_OFFER_EXISTS',
          `The ownership of the tenant ${tenantId} is offered to ${open.to} until ${open.expiresAt.toISOString()}`,
        )
      }
      const [, , offer] = await inOrder([
        // One that is over.
        client.query('delete from ownership_offers where tenant_id = $1', [tenantId]),
        client.query(
          `insert into ownership_offers (tenant_id, from_user_id, to_user_id, kept_role_id, expires_at)
           values ($1, $2, $3, $4, now() + interval '${lifetime}')`,
          [tenantId, from, to, roleId],
        ),
        readOffer(client, tenantId),
        commitChange(client, scope, 'ownership.offer', `user:${to}`, null, { from, keep }),
      ])
      return offer as OwnershipOffer
    }),

    async findOwnershipOffer(idOrSlug) {
      const { id } = await findTenant(catalog, parse(tenantRef, idOrSlug, 'tenant'))
      return readOffer(catalog, id)
    },

    acceptOwnership: change.ofTenant(ownershipAnswerInput, async (client, { user: to }, { tenantId }) => {
      const offer = await findOfferTo(client, tenantId, to)
      const { from, keep } = offer
      const role = findRole(client, tenantId, keep, { lock: true })
      const [{ id: keptId }] = await inOrder([
        role,
        refuseOwner(client, tenantId, keep),
        // In the order of ids: another transaction may change the same users in another tenant.
        client.query('select from users where id in ($1, $2) order by id for no key update', [from, to]),
        requireActive(client, tenantId, to),
        refuseToGiveMore(client, { tenantId, actorId: from }, { roles: ['Owner', keep] }),
      ])
      const give = `insert into user_tenant_roles (user_id, tenant_id, role_id)
        select $1, $2, id from roles where $3::uuid = id or ($3 is null and tenant_id is null and name = 'Owner')
        on conflict do nothing`
      await inOrder([
        client.query(give, [to, tenantId, null]),
        client.query(give, [from, tenantId, keptId]),
        client.query(
          `delete from user_tenant_roles where user_id = $1 and tenant_id = $2
             and role_id in (select id from roles where tenant_id is null and name = 'Owner')`,
          [from, tenantId],
        ),
        client.query('delete from ownership_offers where tenant_id = $1', [tenantId]),
        commitChange(
          client,
          { tenantId, actorId: to },
          'ownership.transfer',
          `user:${to}`,
          { owner: from },
          { owner: to, keep },
        ),
      ])
      return offer
    }),

    declineOwnership: change.ofTenant(ownershipAnswerInput, async (client, { user: to }, { tenantId }) => {
      const { from } = await findOfferTo(client, tenantId, to)
      await inOrder([
        client.query('delete from ownership_offers where tenant_id = $1', [tenantId]),
        commitChange(client, { tenantId, actorId: to }, 'ownership.decline', `user:${to}`, { from }, null),
      ])
    }),

    withdrawOwnership: change.ofTenant(withdrawOwnershipInput, async (client, _input, scope) => {
      const offer = await readOffer(client, scope.tenantId)
      if (offer === undefined) throw noOffer(scope.tenantId)
      await refuseToChangeMember(client, scope, offer.from)
      await inOrder([
        client.query('delete from ownership_offers where tenant_id = $1', [scope.tenantId]),
        commitChange(client, scope, 'ownership.withdraw', `user:${offer.to}`, { from: offer.from }, null),
      ])
    }),
  }
}

/**
 * Who gives the ownership away must not keep it, by another role.
 * @param keep name or id of the role
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID
 */
async function refuseOwner(client: SqlClient, tenantId: string, keep: string): Promise<void> {
  const { rowCount } = await client.query(
    `with recursive reached (role_id) as (
       select id from roles where (name = $2 or id::text = lower($2)) and (tenant_id is null or tenant_id = $1) union
       select included_role_id from reached join role_inclusions using (role_id)
     ) select from reached join roles on roles.id = reached.role_id where roles.tenant_id is null and roles.name = 'Owner'`,
    [tenantId, keep],
  )
  if (rowCount !== 0)
    throw new TenancyError('TENANCY_REQUEST_INVALID', 'keep: must be no role that is or includes Owner')
}

async function readOffer(client: SqlClient, tenantId: string): Promise<OwnershipOffer | undefined> {
  const { rows } = await client.query<OwnershipOffer>(offerQuery, [tenantId])
  return rows[0]
}

/** An offer to somebody else is answered like none. */
async function findOfferTo(client: SqlClient, tenantId: string, userId: string): Promise<OwnershipOffer> {
  const offer = await readOffer(client, tenantId)
  if (offer?.to === userId) return offer
  throw noOffer(tenantId)
}

function noOffer(tenantId: string): TenancyError {
  return new TenancyError('TENANCY_OWNERSHIP_OFFER_NOT_FOUND', `There is no such offer in the tenant ${tenantId}`)
}

/** @throws {@link TenancyError} TENANCY_MEMBER_NOT_FOUND */
async function requireActive(client: SqlClient, tenantId: string, userId: string): Promise<void> {
  const { rowCount } = await client.query(
    `select from user_tenants as membership join users on users.id = user_id
     where tenant_id = $1 and user_id = $2 and is_active and disabled_at is null`,
    [tenantId, userId],
  )
  if (rowCount === 0) throw noMember(userId, tenantId)
}
