import type { Tenant } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { resolveUser } from '../opening/resolve-user.js'
import { tenantShape } from '../shapes.js'

interface Input {
  readonly database: string
  readonly slug: string
  readonly owner: string
  readonly name?: string
  readonly schema?: string
  readonly installation?: string
}

export const adoptDatabase = defineCommand<Input, { readonly tenant: Tenant }>({
  name: 'adopt',
  summary: 'Make a tenant of a database that exists on the server',
  description:
    'Of a product that had databases before, or of a server that was restored. Nobody may be connected to it. Data and structure stay; ' +
    'its name, its owners and who may connect change. Migrations after --schema are applied as for any tenant.',
  arguments: [{ name: 'database', description: 'name of the database' }],
  options: [
    { flags: '--slug SLUG', description: 'slug of the tenant that is made', isRequired: true },
    { flags: '--owner EMAIL|ID', description: 'the user who owns the tenant', isRequired: true },
    { flags: '--name TEXT', description: 'display name (default: the slug)' },
    { flags: '--schema FILE', description: 'the last migration that its tables correspond to, or none' },
    { flags: '--installation ID', description: 'the installation that it was of, if that is not this one' },
  ],
  examples: [
    {
      command: 'tenant adopt acme_production --slug acme --owner dana@example.com --schema 0007_invoices.sql',
      says: 'Asks you to type acme_production',
    },
  ],
  json: { tenant: tenantShape },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { database, slug, owner, name, schema, installation }) {
    const { tenancy, actor } = await context.open()
    const user = await resolveUser(tenancy, owner)
    await context.confirm({
      typed: database,
      consequences: [
        `The database ${database} becomes that of the tenant ${slug}: it is renamed, its objects get another owner,`,
        'and the roles that connect to it now can no longer do so.',
      ],
    })
    const known = schema === 'none' ? null : schema
    return {
      tenant: await tenancy.adoptDatabase({ database, slug, name, owner: user, schema: known, installation, actor }),
    }
  },
  render({ tenant }, page) {
    page.line(`Adopted as ${tenant.slug} (${tenant.id})`)
  },
})
