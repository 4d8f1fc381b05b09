import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type {
  CreateTenancyOptions,
  FleetCheckOptions,
  FleetCheckReport,
  FleetCheckResult,
  StructureDifference,
  Tenancy,
  Tenant,
} from '../../../src/index.js'
import { createInstallation, type Installation } from '../../support/installation.js'
import { withServerAccount } from '../../support/server.js'

/** An open installation with a schema folder of its own. */
export interface TestFleet {
  readonly installation: Installation
  readonly tenancy: Tenancy
  /** Writes a file to the schema folder; processes that open afterwards know it. */
  writeSchema(name: string, sql: string): Promise<void>
  open(options?: CreateTenancyOptions): Promise<Tenancy>
  createTenant(slug: string): Promise<Tenant>
  /** Name of the tenant's database. */
  databaseOf(slug: string): Promise<string>
  /** Runs SQL in the tenant's database as the provisioning account. */
  run(slug: string, sql: string): Promise<void>
  /** The same as the owner of the application's objects; `reset role` makes the session the provisioning account's. */
  runAsOwner(slug: string, sql: string): Promise<void>
  /** Name of the group that owns the application's objects. */
  readonly owners: string
  drop(): Promise<void>
}

/** Opens an installation whose only schema file is this one. */
export async function openFleet(schema: string): Promise<TestFleet> {
  const schemaDir = await mkdtemp(join(tmpdir(), 't2f-drift-'))
  const installation = createInstallation()
  const writeSchema = (name: string, sql: string) => writeFile(join(schemaDir, name), sql)
  await writeSchema('0001_schema.sql', schema)
  const open = () => installation.open({ env: { TENANT_SCHEMA_DIR: schemaDir } })
  const tenancy = await open()
  const owner = (await tenancy.createUser({ email: 'owner@example.com', emailVerified: true })).id
  const databaseOf = async (slug: string) => {
    const tenant = await tenancy.getTenant(slug)
    return `${installation.prefix}${tenant.databaseId?.replaceAll('-', '')}`
  }
  return {
    installation,
    tenancy,
    writeSchema,
    open,
    databaseOf,
    owners: `${installation.prefix}owners`,
    runAsOwner: async (slug, sql) =>
      withServerAccount(
        async (client) => {
          await client.query(`set role ${installation.prefix}owners`)
          await client.query(sql)
        },
        await databaseOf(slug),
      ),
    createTenant: (slug) => tenancy.createTenant({ name: slug, slug, owner }),
    async run(slug, sql) {
      await withServerAccount((client) => client.query(sql), await databaseOf(slug))
    },
    async drop() {
      await installation.drop()
      await rm(schemaDir, { recursive: true })
    },
  }
}

/** Checks, and collects the results. */
export async function collect(
  tenancy: Tenancy,
  options: FleetCheckOptions = {},
): Promise<{ report: FleetCheckReport; results: FleetCheckResult[] }> {
  const results: FleetCheckResult[] = []
  const report = await tenancy.fleet.check({ ...options, onResult: (result) => void results.push(result) })
  return { report, results }
}

/** A difference in one line. */
export const lineOf = ({ object, kind, name, change }: StructureDifference) => `${change} ${object}: ${kind} ${name}`

/** The differences of the only tenant, in one line each. */
export async function differencesOf(tenancy: Tenancy, tenant: string): Promise<string[]> {
  const { results } = await collect(tenancy, { tenants: [tenant] })
  const [result] = results
  if (result === undefined || result.error) throw result?.error ?? new Error('no result')
  return result.differences.map(lineOf)
}
