/** The address of a server that speaks PostgreSQL's protocol. */
export interface ServerAddress {
  readonly host: string
  readonly port: number
  /** TLS options as `pg` takes them. Default: none. */
  readonly ssl?: boolean | Readonly<Record<string, unknown>>
  /** SCRAM that is bound to the TLS connection: used where it is offered, or insisted on. Default: not used. */
  readonly channelBinding?: 'prefer' | 'require'
  /** Longest time to open a connection. Default: depends on the code that opens it. */
  readonly connectTimeoutMs?: number
  /** `application_name` of the connections. Default: `tenants2fast` and the purpose of the connection. */
  readonly applicationName?: string
}

/** A PostgreSQL server and the account used on it. Holds a secret: never log it, never put it in an error. */
export interface ServerAccount extends ServerAddress {
  readonly user: string
  readonly password: string
  /** Database to connect to for work that needs none in particular. */
  readonly database: string
}

/** Whether both are the same account on the same server, reached in the same way. */
export function isSameAccount(one: ServerAccount, other: ServerAccount): boolean {
  const fields = Object.keys({ ...one, ...other }) as (keyof ServerAccount)[]
  return fields.every((field) => one[field] === other[field])
}

/** The data needed to open a connection to one tenant's database and to prove that it is the right one. */
export interface TenantDatabaseTarget {
  readonly databaseId: string
  /** The epoch that the identity row must show. */
  readonly epoch: number
  readonly account: ServerAccount
}

/**
 * The query that a new connection must answer as expected before it serves a tenant. It gives one row
 * `{ database_id, epoch, database_name, role_name, has_settings }`. A role may give itself settings for its future
 * connections (ALTER ROLE … SET), which are in force already: so every name in the query is qualified or a keyword. It has
 * no casts, and no function where a keyword will do: each costs a new connection a look into the system catalogs.
 */
export const identityQuery = `
  select database_id, epoch, current_catalog as database_name, current_user as role_name,
    exists (
      select from pg_catalog.pg_db_role_setting
       where pg_catalog.pg_get_userbyid(setrole) operator(pg_catalog.=) session_user
    ) as has_settings
  from tenants2fast.identity`
