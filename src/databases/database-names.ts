import type { TenantDatabase } from '../core/model.js'

/** End of the name of an owner login; what comes before it is the name of its database. */
export const ownerSuffix = '_owner'

/** Names of everything that one installation makes on a server; all start with its prefix. */
export interface DatabaseNames {
  /** Start of every name. */
  readonly prefix: string
  /** Group role that holds the privileges on a tenant's data; the login roles are its members. */
  readonly members: string
  /** Group role that owns the application's objects in every tenant database; nobody can log in as it. */
  readonly owners: string
  /** Name of a template while it is built. */
  readonly unfinishedTemplate: string
  /** Start of every template's name. */
  readonly templatePrefix: string
  template(version: string): string
  /** Name of a tenant database and of its login role. */
  tenantDatabase(id: string): string
  /** Name of the login that runs the application's files in a database, or in a template while it is built. */
  ownerLogin(database: string): string
}

/**
 * The names under a prefix.
 *
 * @throws RangeError for a prefix that is not 1 to 25 characters of a-z, 0-9 and _, a letter first
 */
export function databaseNames(prefix: string): DatabaseNames {
  // 25, the 32 digits of an id and `_owner` are PostgreSQL's limit of 63 bytes.
  if (!/^[a-z][a-z0-9_]{0,24}$/.test(prefix)) {
    throw new RangeError(
      `The prefix ${JSON.stringify(prefix)} is not 1 to 25 characters of a-z, 0-9 and _, a letter first`,
    )
  }
  return {
    prefix,
    members: `${prefix}members`,
    owners: `${prefix}owners`,
    unfinishedTemplate: `${prefix}template_building`,
    templatePrefix: `${prefix}template_`,
    template: (version) => `${prefix}template_${version}`,
    tenantDatabase: (id) => `${prefix}${id.replaceAll('-', '')}`,
    ownerLogin: (database) => `${database}${ownerSuffix}`,
  }
}

/** Id of the tenant database that a name of a database or login role belongs to; undefined: it is the name of something else. */
export function databaseIdOf(names: DatabaseNames, name: string): string | undefined {
  if (!name.startsWith(names.prefix)) return undefined
  const match = /^([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/.exec(
    name.slice(names.prefix.length),
  )
  return match?.slice(1).join('-')
}

/** Whether database and role still have the names that follow from the id. A drop goes by these names only. */
export function isNamedAfterId(names: DatabaseNames, database: TenantDatabase): boolean {
  const name = names.tenantDatabase(database.id)
  return database.name === name && database.roleName === name
}
