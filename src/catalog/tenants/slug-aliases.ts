import { z } from 'zod'
import type { ActorOption } from '../../core/audit-actor.js'
import { TenancyError } from '../../core/errors/errors.js'
import type { Tenant } from '../../core/model.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { parseTenantRef } from '../../core/tenants/slug.js'
import { commitChange } from '../access/lookup.js'
import { actor, parse, schemaOf } from '../input.js'
import { inOrder, inTransaction } from '../transaction.js'
import { tenantList } from './tenant-row.js'

/** A former slug to free. */
export interface SlugReleaseInput extends ActorOption {
  /** The former slug of a tenant. */
  readonly slug: string
}

/** Former slugs of tenants. */
export interface SlugAliases {
  /**
   * Frees a former slug before its time is over: requests by it are refused from then on, in each process within
   * `TENANT_MAX_STALENESS_MS`, and any tenant may take it. Returns the tenant that had it.
   * @throws TENANCY_TENANT_NOT_FOUND (no tenant has this former slug)
   */
  releaseSlug(input: SlugReleaseInput): Promise<Tenant>
}

const releaseInput = schemaOf<SlugReleaseInput>()(z.strictObject({ slug: z.string('must be text'), actor }))

/** Most former slugs that a tenant keeps: the oldest ones are freed first. */
export const maxAliases = 10

/** Creates the service for former slugs. */
export function createSlugAliases({ catalog }: { readonly catalog: SqlPool }): SlugAliases {
  return {
    async releaseSlug(input) {
      const { slug, actor: by } = parse(releaseInput, input)
      const ref = parseTenantRef(slug)
      if (ref?.kind !== 'slug') throw noAlias(slug)
      return inTransaction(catalog, async (client) => {
        const [{ rows: owners }, { rowCount }] = await inOrder([
          client.query<Tenant>(
            `select ${tenantList} from tenants
             where id = (select tenant_id from tenant_slug_aliases where slug = $1) for no key update`,
            [slug],
          ),
          client.query('delete from tenant_slug_aliases where slug = $1', [slug]),
        ])
        const [owner] = owners
        if (owner === undefined || rowCount === 0) throw noAlias(slug)
        const scope = { actorId: by, tenantId: owner.id }
        await commitChange(client, scope, 'tenant.slug.release', `tenant:${owner.id}`, { formerSlug: slug }, null)
        return owner
      })
    },
  }
}

/**
 * Refuses a rename that would leave a tenant with more than {@link maxAliases} former slugs. One that is kept is never freed by
 * the next one: somebody else could take it.
 * @throws {@link TenancyError} TENANCY_TENANT_STATE_CONFLICT
 */
export async function requireRoomForAlias(client: SqlClient, tenantId: string, wanted: string): Promise<void> {
  const { rows } = await client.query<{ count: number }>(
    `select count(*)::integer as count from tenant_slug_aliases
     where tenant_id = $1 and expires_at > now() and slug <> $2`,
    [tenantId, wanted],
  )
  if ((rows[0]?.count ?? 0) < maxAliases) return
  throw new TenancyError(
    'TENANCY_TENANT_STATE_CONFLICT',
    `The tenant has ${maxAliases} former slugs that are kept for it: release one, or wait until one is over`,
  )
}

/** Keeps the slug that a renamed tenant had as its alias, and removes those that are over. */
export async function keepAlias(client: SqlClient, tenantId: string, slug: string, days: number): Promise<void> {
  if (days === 0) return
  await inOrder([
    client.query('delete from tenant_slug_aliases where tenant_id = $1 and expires_at <= now()', [tenantId]),
    client.query(
      `insert into tenant_slug_aliases (slug, tenant_id, expires_at)
       values ($1, $2, now() + make_interval(hours => 24 * $3::integer))
       on conflict (slug) do update
         set tenant_id = excluded.tenant_id, created_at = excluded.created_at, expires_at = excluded.expires_at`,
      [slug, tenantId, days],
    ),
  ])
}

function noAlias(slug: string): TenancyError {
  return new TenancyError(
    'TENANCY_TENANT_NOT_FOUND',
    `No tenant has the former slug ${JSON.stringify(slug.slice(0, 60))}`,
  )
}
