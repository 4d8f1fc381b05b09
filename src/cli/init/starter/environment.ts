import { randomBytes } from 'node:crypto'

/** Text of `.env`. */
export function environmentFile({ databaseUrl }: { readonly databaseUrl: string | undefined }): string {
  return `# Settings of tenants2fast. This file holds secrets: keep it out of git, and readable by you alone.

# The PostgreSQL server, as an account that may create databases and roles. Without it, the embedded PostgreSQL runs in
# .tenants2fast: for development and tests only.
${databaseUrl === undefined ? '#TENANT_DATABASE_URL=postgres://postgres:password@localhost:5432/postgres' : `TENANT_DATABASE_URL=${quoted(databaseUrl)}`}

# Master secret: the passwords of the tenants' roles are derived from it. Each installation has its own, and keeps it. Keep
# a copy: without it, nobody can connect to the tenants' databases.
TENANT_SECRET=${randomBytes(32).toString('hex')}

# Every tenant's schema: numbered SQL files.
TENANT_SCHEMA_DIR=migrations

# A request for a tenant whose schema is behind: migrate it first, or refuse it until "tenants2fast migrate up" has run.
#TENANT_SCHEMA_BEHIND=refuse
`
}

/** A value that dotenv files would read otherwise: with a # or spaces. */
function quoted(value: string): string {
  if (/^[\w:/@.,?&=%+~*!$()-]+$/.test(value)) return value
  return value.includes("'") ? `"${value}"` : `'${value}'`
}

/** Lines that .gitignore has to have. */
export const ignoredByGit = ['node_modules/', '.env', '.tenants2fast/'] as const
