import { z } from 'zod'
import { isTenancyError } from '../../core/errors/errors.js'
import type { Tenant, TenantStatus } from '../../core/model.js'
import type { SqlPool } from '../../core/sql-client.js'
import { parseSlug } from '../../core/tenants/slug.js'
import { isStorable } from '../../core/text.js'
import { parse, schemaOf } from '../input.js'
import { tenantLabel } from './tenant-labels.js'
import { tenantList } from './tenant-row.js'

/** Which tenants to search. */
export interface SearchTenantsOptions {
  /** Part of the slug, the name or the contact address, in any case, taken literally; at most 320 characters. Default: all. */
  readonly search?: string | undefined
  /** Only tenants in one of these states. Default: any state. */
  readonly statuses?: readonly TenantStatus[] | undefined
  /** Only tenants that have this label. Default: all. */
  readonly label?: string | undefined
  /** `next` of the page before. Default: the first page. */
  readonly after?: string | undefined
  /** 1 to 1000. Default: 100. */
  readonly limit?: number | undefined
}

/** A page of tenants. */
export interface TenantPage {
  /** In the order of creation. */
  readonly tenants: readonly Tenant[]
  /** Number of tenants that match, on all pages. */
  readonly total: number
  /** `after` of the next page; null: this is the last one. */
  readonly next: string | null
}

/** A slug to look up. */
export interface SlugInput {
  /** Any text. */
  readonly slug: string
}

/** Whether a tenant may take a slug. */
export interface SlugAvailability {
  readonly isAvailable: boolean
  /** `taken` does not say by whom, nor whether it is a tenant's slug or its former one. null: it is available. */
  readonly reason: 'malformed' | 'reserved' | 'taken' | null
}

/** Finds tenants and slugs. */
export interface TenantSearch {
  /** Lists tenants that match, with their number. Makes one query. @throws TENANCY_REQUEST_INVALID */
  searchTenants(options?: SearchTenantsOptions): Promise<TenantPage>
  /**
   * Tells whether a new tenant may take this slug at this moment. Makes at most one query.
   * @throws TENANCY_REQUEST_INVALID
   */
  isSlugAvailable(input: SlugInput): Promise<SlugAvailability>
}

const searchOptions = schemaOf<SearchTenantsOptions>()(
  z.strictObject({
    search: z.string('must be text').max(320, 'is too long').refine(isStorable, 'cannot be stored').optional(),
    statuses: z
      .array(z.enum(['active', 'suspended', 'deleted']), 'must be a list of states')
      .min(1)
      .max(3)
      .readonly()
      .optional(),
    label: tenantLabel.optional(),
    after: z.guid().optional(),
    limit: z.int().min(1).max(1000).default(100),
  }),
)
const slugInput = schemaOf<SlugInput>()(z.strictObject({ slug: z.string('must be text') }))

type PageRow = { readonly total: number } & (Tenant | { readonly id: null })

/** Creates the search of the catalog's tenants. */
export function createTenantSearch({ catalog }: { readonly catalog: SqlPool }): TenantSearch {
  return {
    async searchTenants(options = {}) {
      const { search, statuses, label, after, limit } = parse(searchOptions, options)
      const matches = `($1::text is null or strpos(slug, lower($1)) > 0 or strpos(lower(name), lower($1)) > 0
          or strpos(lower(contact_email), lower($1)) > 0)
        and ($2::text[] is null or status = any($2))
        and ${label === undefined ? '$3::text is null' : 'labels @> array[$3::text]'}`
      // One more than asked for says whether there is a next page.
      const { rows } = await catalog.query<PageRow>(
        `select counted.total, page.* from (select count(*)::float8 as total from tenants where ${matches}) as counted
         left join lateral (
           select ${tenantList} from tenants where ${matches} and ($4::uuid is null or id > $4) order by id limit $5 + 1
         ) as page on true order by page.id`,
        [search ?? null, statuses ?? null, label ?? null, after ?? null, limit],
      )
      const found = rows.filter((row): row is PageRow & Tenant => row.id !== null)
      const tenants = found.slice(0, limit).map(({ total: _total, ...tenant }) => tenant)
      return { tenants, total: rows[0]?.total ?? 0, next: found.length > limit ? (tenants.at(-1)?.id ?? null) : null }
    },

    async isSlugAvailable(input) {
      const { slug } = parse(slugInput, input)
      try {
        parseSlug(slug)
      } catch (error) {
        const isReserved = isTenancyError(error, 'TENANCY_TENANT_SLUG_RESERVED')
        return { isAvailable: false, reason: isReserved ? 'reserved' : 'malformed' }
      }
      const { rows } = await catalog.query<{ taken: boolean }>(`select ${slugIsTaken('$1')} as taken`, [slug])
      return rows[0]?.taken === false ? { isAvailable: true, reason: null } : { isAvailable: false, reason: 'taken' }
    },
  }
}

/** SQL condition: a tenant has this slug, or had it lately. */
export const slugIsTaken = (slug: string): string =>
  `(exists (select from tenants where slug = ${slug})
    or exists (select from tenant_slug_aliases where slug = ${slug} and expires_at > now()))`
