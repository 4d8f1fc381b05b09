import { randomBytes } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import { TenancyError } from '../../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../../core/sql-client.js'
import { commitChange } from '../access/lookup.js'
import type { TenantScope } from '../change.js'
import { parse } from '../input.js'
import { findTenant } from '../tenants/tenant-row.js'
import { inOrder, type Transaction } from '../transaction.js'
import { domainChangeInput, type DomainChangeInput, domainListInput, type DomainListInput } from './domain-input.js'
import { checkDomain, domainList, type DomainToCheck, noDomain, type Purpose } from './domain-row.js'
import type { ResolveTxt } from './txt-resolver.js'

/** What {@link createDomains} needs. */
export interface DomainsOptions {
  readonly catalog: SqlPool
  readonly resolveTxt: ResolveTxt
  /** In lower case; undefined: the installation gives no hosts. */
  readonly baseDomain: string | undefined
  /** Most hosts, and most e-mail domains, of a tenant. Default: 20. */
  readonly maxPerTenant?: number | undefined
}

/** @throws {@link TenancyError} TENANCY_DOMAIN_EXISTS, TENANCY_DOMAIN_LIMIT_REACHED */
export async function requireRoom(
  client: SqlClient,
  tenantId: string,
  purpose: Purpose,
  name: string,
  most: number,
): Promise<void> {
  const { rows } = await client.query<{ count: number; isThere: boolean }>(
    `select count(*)::integer as count, coalesce(bool_or(name = $3), false) as "isThere"
     from tenant_domains where tenant_id = $1 and purpose = $2`,
    [tenantId, purpose, name],
  )
  const { count, isThere } = rows[0] ?? { count: 0, isThere: false }
  if (isThere) throw new TenancyError('TENANCY_DOMAIN_EXISTS', `The tenant has the domain ${name} already`)
  if (count < most) return
  throw new TenancyError('TENANCY_DOMAIN_LIMIT_REACHED', `The tenant has ${count} domains: remove one first`)
}

/** Writes a new domain with a random value of its own, and commits. */
export async function insertDomain<Row extends object>(
  client: Transaction,
  scope: TenantScope,
  added: { readonly purpose: Purpose; readonly name: string; readonly roleIds: readonly string[] },
): Promise<Row> {
  const { purpose, name, roleIds } = added
  const id = uuidv7()
  const challenge = `tenants2fast=${randomBytes(32).toString('base64url')}`
  const [{ rows }] = await inOrder([
    client.query<Row>(
      `insert into tenant_domains (id, tenant_id, purpose, name, challenge, role_ids, roles_by)
       values ($1, $2, $3, $4, $5, $6, $7) returning ${domainList(purpose)}`,
      [id, scope.tenantId, purpose, name, challenge, roleIds, purpose === 'email' ? scope.actorId : null],
    ),
    commitChange(client, scope, 'domain.add', `domain:${id}`, null, { name, purpose }),
  ])
  return rows[0] as Row
}

/** @throws {@link TenancyError} TENANCY_DOMAIN_NOT_FOUND */
export async function deleteDomain(
  client: Transaction,
  scope: TenantScope,
  purpose: Purpose,
  id: string,
): Promise<void> {
  const { rows } = await client.query<{ name: string; state: string }>(
    'delete from tenant_domains where id = $1 and tenant_id = $2 and purpose = $3 returning name, state',
    [id, scope.tenantId, purpose],
  )
  const [removed] = rows
  if (removed === undefined) throw noDomain(id)
  await commitChange(client, scope, 'domain.remove', `domain:${id}`, { ...removed, purpose }, null)
}

/** @throws {@link TenancyError} TENANCY_TENANT_NOT_FOUND */
export async function listDomains<Row extends object>(
  catalog: SqlPool,
  purpose: Purpose,
  input: DomainListInput,
): Promise<Row[]> {
  const { tenant, after, limit } = parse(domainListInput, input)
  const { id } = await findTenant(catalog, tenant)
  const { rows } = await catalog.query<Row>(
    `select ${domainList(purpose)} from tenant_domains
     where tenant_id = $1 and purpose = $2 and ($3::uuid is null or id > $3) order by id limit $4`,
    [id, purpose, after ?? null, limit],
  )
  return rows
}

/** Looks for the record of a tenant's domain, outside of any transaction. */
export async function verify<Row extends object>(
  catalog: SqlPool,
  resolveTxt: ResolveTxt,
  purpose: Purpose,
  input: DomainChangeInput,
): Promise<Row> {
  const { tenant, domain: id, actor = null } = parse(domainChangeInput, input)
  const { id: tenantId } = await findTenant(catalog, tenant)
  const { rows } = await catalog.query<DomainToCheck>(
    'select id, purpose, name, challenge from tenant_domains where id = $1 and tenant_id = $2 and purpose = $3',
    [id, tenantId, purpose],
  )
  const [asked] = rows
  if (asked === undefined) throw noDomain(id)
  const { found, domain } = await checkDomain(catalog, resolveTxt, asked, actor)
  if (found === 'published') return domain as Row
  throw new TenancyError(
    'TENANCY_DOMAIN_NOT_PROVEN',
    found === 'missing'
      ? `The DNS has no TXT record with the value of the domain ${asked.name}: publish it, wait, and try again`
      : `The name servers gave no answer for the domain ${asked.name}: try again later`,
  )
}
