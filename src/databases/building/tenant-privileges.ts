import { quoteIdentifier } from '../../postgres/text/quote.js'

// The privileges of a tenant, in one place: a template is made with them, a build gives them to the new role, and every
// migration and every repair of a role restores them (`restore-privileges.ts`).

/** Default privileges: kind of object in `ALTER DEFAULT PRIVILEGES`, its letter in `pg_default_acl`, privileges. */
export const defaultGrants = [
  ['tables', 'r', ['select', 'insert', 'update', 'delete']],
  ['sequences', 'S', ['usage', 'select', 'update']],
  ['functions', 'f', ['execute']],
  ['types', 'T', ['usage']],
  ['schemas', 'n', ['usage']],
] as const

/** The group roles of an installation. */
export interface GroupRoles {
  /** The tenants' login roles are its members. */
  readonly members: string
  /** Owns the application's objects. */
  readonly owners: string
}

/**
 * SQL, for use inside of a tenant database, that lets the group of tenants read and write the data of the application's
 * schemas and use their sequences, functions and types. Of our own schema, it reads the identity row only. Default privileges
 * cover what later files make, as the group of owners; our own tables are not covered. Safe to repeat.
 */
export function groupPrivileges(groups: GroupRoles): string {
  return `${ownPrivileges(groups)};
  revoke all on schema public from public;
  grant usage on schema public to ${quoteIdentifier(groups.members)};
  alter schema public owner to ${quoteIdentifier(groups.owners)};
  ${defaultPrivileges(groups)}`
}

/** SQL of the privileges on our own schema. */
export function ownPrivileges({ members, owners }: GroupRoles): string {
  const group = quoteIdentifier(members)
  return `revoke all on schema tenants2fast from public;
  grant usage on schema tenants2fast to ${group}, ${quoteIdentifier(owners)};
  grant select on tenants2fast.identity to ${group}, ${quoteIdentifier(owners)}`
}

/**
 * The part of {@link groupPrivileges} that has to be in effect before a file makes objects.
 *
 * @param role SQL of the role that makes them. Default: the group of owners
 */
export function defaultPrivileges({ members, owners }: GroupRoles, role = quoteIdentifier(owners)): string {
  const alter = `alter default privileges for role ${role}`
  return defaultGrants
    .map(([kind, , privileges]) => `${alter} grant ${privileges.join(', ')} on ${kind} to ${quoteIdentifier(members)}`)
    .join(';\n  ')
}

/** Statement that makes a login role a member of the group role. */
export function membership(role: string, membersRole: string): string {
  return `grant ${quoteIdentifier(membersRole)} to ${quoteIdentifier(role)}`
}

/**
 * Statements that let a login role, and besides it only the database's owner, connect to its database. The group of owners
 * may make schemas in it, and temporary tables: nobody connects as that group.
 */
export function databasePrivileges(database: string, role: string, { owners }: Pick<GroupRoles, 'owners'>): string {
  return `${closedDatabase(database, { owners })};
    grant connect, temporary on database ${quoteIdentifier(database)} to ${quoteIdentifier(role)}`
}

/** Statements that close a database to everybody but the files of the application. */
export function closedDatabase(database: string, { owners }: Pick<GroupRoles, 'owners'>): string {
  const name = quoteIdentifier(database)
  return `revoke all on database ${name} from public;
    grant create, temporary on database ${name} to ${quoteIdentifier(owners)}`
}
