import { TenancyError } from '../../../src/core/errors/errors.js'
import { createClientAddress } from '../../../src/http/client-address.js'
import type { HttpTenancy } from '../../../src/http/http-tenancy.js'
import { createRequestPath, type RequestPath, type RequestPathOptions } from '../../http/fixture.js'

/** People and tenants, and a request path that knows them. */
export interface World {
  readonly path: RequestPath
  readonly tenancy: HttpTenancy
  /** Tokens: an owner and a member of acme, somebody in acme and globex, and somebody in no tenant. */
  readonly owner: string
  readonly member: string
  readonly both: string
  readonly nobody: string
  readonly ids: { readonly owner: string; readonly acme: string }
  close(): Promise<void>
}

const versions: Readonly<Record<string, number>> = { '0001_first.sql': 1, '0002_second.sql': 2 }

/** Makes the people. Every tenant has the first of two migrations. Rules: GET and DELETE `/api/reports/{id}`, both of reports:read. */
export async function createWorld(options: RequestPathOptions = {}): Promise<World> {
  const path = await createRequestPath(options)
  const { pool } = path.catalog
  const [acme, globex] = [await path.addTenant('acme'), await path.addTenant('globex')]
  const people = {
    owner: await path.addUser('owner@example.com'),
    member: await path.addUser('member@example.com'),
    both: await path.addUser('both@example.com'),
    nobody: await path.addUser('nobody@example.com'),
  }
  await path.addMember(people.owner, acme, 'Owner')
  await path.addMember(people.member, acme)
  await path.addMember(people.both, acme)
  await path.addMember(people.both, globex)
  for (const method of ['GET', 'DELETE']) {
    await pool.query(
      `insert into route_rules (method, path, permission_id)
       select $1, '/api/reports/{id}', id from permissions where name = 'reports:read'`,
      [method],
    )
  }
  for (const [slug, status] of [
    ['asleep', 'suspended'],
    ['gone', 'deleted'],
  ]) {
    const tenant = await path.addTenant(slug!)
    await path.addMember(people.both, tenant)
    await pool.query('update tenants set status = $2 where id = $1', [tenant, status])
  }
  await path.rules.refresh()
  await path.heard()
  return {
    path,
    tenancy: {
      pipeline: path.pipeline,
      rules: path.rules,
      schema: {
        versionOf: (migration) => versions[migration],
        require(version) {
          if (version > 1) throw new TenancyError('TENANCY_DATABASE_SCHEMA_BEHIND')
        },
      },
      urlPrefix: 'tenants',
      authPrefix: '/auth',
      clientAddress: createClientAddress([]),
      jwks: () => ({ keys: [] }),
    },
    owner: path.tokenFor(people.owner),
    member: path.tokenFor(people.member),
    both: path.tokenFor(people.both),
    nobody: path.tokenFor(people.nobody),
    ids: { owner: people.owner, acme },
    close: () => path.close(),
  }
}
