import type { ActorOption } from '../audit-actor.js'
import type { Tenant } from '../model.js'
import type { SqlClient } from '../sql-client.js'
import type { AppliedFiles } from '../tenants/tenant-databases.js'

/** A database to take into the catalog. */
export interface AdoptDatabaseInput extends ActorOption {
  /** Name of a database on the server, which nobody is connected to. It gets the name that follows from its id. */
  readonly database: string
  /** Of the tenant that is made, as for `createTenant`. */
  readonly slug: string
  /** Default: the slug. */
  readonly name?: string | undefined
  /** Id of the user who becomes its Owner. */
  readonly owner: string
  /**
   * Name of the last schema file that its tables correspond to; null: none. Needed unless the database has our ledger. The
   * files up to it are recorded as applied, and not run.
   */
  readonly schema?: string | null | undefined
  /**
   * Id of the installation whose database it is, if that is not this one: one whose catalog was lost, or on a server that was
   * restored. Default: a database of another installation is refused.
   */
  readonly installation?: string | undefined
}

/** Takes databases that exist into the catalog. */
export interface DatabaseAdoption {
  /**
   * Makes a tenant of a database that exists: of a product that had databases before, or one that the catalog does not know
   * any more. It gets a login role, our own schema with identity row and ledger, and its objects get the group of owners as
   * owner; other roles lose their right to connect. Data and structure stay. Later schema files are applied as for any tenant.
   *
   * @throws {@link TenancyError} TENANCY_DATABASE_ADOPT_REFUSED (no such database, a system's, a template, the catalog, another
   *   installation's, one that a tenant has, one in use, a ledger that does not fit), TENANCY_TENANT_SLUG_TAKEN, TENANCY_USER_NOT_FOUND, TENANCY_DATABASE_UNAVAILABLE
   * @example
   * await tenancy.adoptDatabase({ database: 'acme_production', slug: 'acme', owner: user.id, schema: '0007_invoices.sql' })
   */
  adoptDatabase(input: AdoptDatabaseInput): Promise<Tenant>
}

/** A database whose content is ready to be a tenant's. */
export interface AdoptedDatabase {
  readonly id: string
  readonly epoch: number
  readonly serverId: string
  /** Name of the database, after `rename`, and of its login role. */
  readonly name: string
  readonly schema: AppliedFiles
  readonly templateVersion: string
  /** The name that it has now. */
  readonly currentName: string
  /** Gives it its name and role, in the transaction that makes the tenant. */
  readonly takeOver: (transaction: SqlClient) => Promise<void>
}
