import type pg from 'pg'
import { quoteIdentifier } from '../../../src/postgres/text/quote.js'
import { runPrefix } from './run-context.js'

/** Databases and roles of a server, by name. */
export interface ServerObjects {
  readonly databases: ReadonlySet<string>
  readonly roles: ReadonlySet<string>
}

/** Reads the databases and roles of the server. */
export async function listServerObjects(admin: pg.Client): Promise<{ databases: Set<string>; roles: Set<string> }> {
  const databases = await admin.query<{ name: string }>('select datname as name from pg_database')
  const roles = await admin.query<{ name: string }>("select rolname as name from pg_roles where rolname !~ '^pg_'")
  return {
    databases: new Set(databases.rows.map((row) => row.name)),
    roles: new Set(roles.rows.map((row) => row.name)),
  }
}

/**
 * What a run left behind: everything new on a server of its own; on a shared one only names that start with
 * `t2f_test_`, and none of another run (`t2f_test_<its id>_`).
 */
export function leakedObjects(
  before: ServerObjects,
  after: ServerObjects,
  runId: string,
  shared: boolean,
): ServerObjects {
  const ours = (name: string) => !shared || name.startsWith(runPrefix(runId)) || /^t2f_test_(?![0-9a-f]{6}_)/.test(name)
  const created = (earlier: ReadonlySet<string>, later: ReadonlySet<string>) =>
    new Set([...later].filter((name) => !earlier.has(name) && ours(name)))
  return { databases: created(before.databases, after.databases), roles: created(before.roles, after.roles) }
}

/** Drops what was left behind. */
export async function removeLeaked(admin: pg.Client, leaked: ServerObjects): Promise<void> {
  for (const name of leaked.databases) {
    // A database whose drop was begun cannot be altered any more, and is no template.
    await admin.query(`alter database ${quoteIdentifier(name)} is_template false`).catch(() => {})
    await admin.query(`drop database if exists ${quoteIdentifier(name)} with (force)`)
  }
  for (const name of leaked.roles) {
    await admin.query(`drop owned by ${quoteIdentifier(name)}`)
    await admin.query(`drop role if exists ${quoteIdentifier(name)}`)
  }
}
