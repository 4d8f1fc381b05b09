import { quoteIdentifier } from '../../postgres/quote.js'

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

/**
 * SQL, for use inside of a tenant database, that lets the group role read and write the data of the application's schemas
 * and use their sequences, functions and types. Of our own schema, the group reads the identity row only. Default
 * privileges cover what later files make, as the account that runs them; our own tables are not covered. Safe to repeat.
 */
export function groupPrivileges(membersRole: string): string {
  return `${ownPrivileges(membersRole)};
  revoke all on schema public from public;
  grant usage on schema public to ${quoteIdentifier(membersRole)};
  ${defaultPrivileges(membersRole)}`
}

/** SQL of the privileges on our own schema. */
export function ownPrivileges(membersRole: string): string {
  const members = quoteIdentifier(membersRole)
  return `revoke all on schema tenants2fast from public;
  grant usage on schema tenants2fast to ${members};
  grant select on tenants2fast.identity to ${members}`
}

/** The part of {@link groupPrivileges} that has to be in effect before a file makes objects. */
export function defaultPrivileges(membersRole: string): string {
  const members = quoteIdentifier(membersRole)
  return defaultGrants
    .map(([kind, , privileges]) => `alter default privileges grant ${privileges.join(', ')} on ${kind} to ${members}`)
    .join(';\n  ')
}

/** Statement that makes a login role a member of the group role. */
export function membership(role: string, membersRole: string): string {
  return `grant ${quoteIdentifier(membersRole)} to ${quoteIdentifier(role)}`
}

/** Statements that let a login role, and besides it only the owner, connect to its database. */
export function databasePrivileges(database: string, role: string): string {
  const name = quoteIdentifier(database)
  return `revoke all on database ${name} from public;
    grant connect, temporary on database ${name} to ${quoteIdentifier(role)}`
}
