import { expect, test } from 'vitest'
import { withAdmin } from '../support/server.js'
import { endConnections, openInstallation } from './installation.js'

/** Types of the values that our own statements in a tenant's database compare. */
const types = [
  'oid',
  'regrole',
  'regclass',
  'regtype',
  'regnamespace',
  'name',
  'text',
  'bigint',
  'integer',
  '"char"',
  'uuid',
]
/** Functions that these statements call. */
const functions = [
  'quote_ident(text)',
  'quote_literal(text)',
  'to_regclass(text)',
  'to_regrole(text)',
  'current_database()',
  'pg_backend_pid()',
  'pg_current_xact_id()',
  'has_function_privilege(name, oid, text)',
  'has_schema_privilege(oid, text, text)',
  'format(text, text)',
  'set_config(text, text, boolean)',
  'aclexplode(aclitem[])',
]

/** SQL of a tenant that may make objects: each object records the role that ran it. */
const hostile = [
  'create table public.calls (who name, what text)',
  'grant insert on public.calls to public',
  ...types.flatMap((left) =>
    types.map((right, at) => {
      const name = `evil_${left.replaceAll('"', '')}_${at}`
      return `create function public.${name}(${left}, ${right}) returns boolean language plpgsql as $f$
          begin insert into public.calls values (current_user, 'operator'); return false; end $f$;
        create operator public.= (leftarg = ${left}, rightarg = ${right}, function = public.${name});
        create operator public.<> (leftarg = ${left}, rightarg = ${right}, function = public.${name})`
    }),
  ),
  ...functions.map(
    (signature) => `create function public.${signature} returns text language plpgsql as $f$
        begin insert into public.calls values (current_user, '${signature}'); return null; end $f$`,
  ),
]

test('The administrator never runs objects that a tenant made in its database, whatever their names', async () => {
  const installation = await openInstallation({
    count: 1,
    schema: `create table items (id int); grant create on schema public to public;
      select tenants2fast.set_database_setting('search_path', 'public, pg_catalog')`,
  })
  try {
    const { tenancy, tenants } = installation
    const [who] = tenants
    const { tenant, account } = who!
    const pool = tenancy.getTenantPool(tenant)
    for (const statement of hostile) await pool.query(statement)
    const others = () =>
      withAdmin(
        async (admin) =>
          (
            await admin.query('select distinct who, what from public.calls where who operator(pg_catalog.<>) $1', [
              account.user,
            ])
          ).rows,
        account.database,
      )
    // A role that has changed itself, and lost its privileges, is restored by the administrator.
    await pool.query('alter role current_user set work_mem = $$8MB$$')
    await pool.query(`drop owned by "${installation.prefix}members"`).catch(() => {})
    await endConnections(tenancy, who!)
    await tenancy.getTenantPool(tenant).query('select')
    expect(tenancy.stats().rolesRestored).toBeGreaterThan(0)
    expect(await others()).toEqual([])
    // And its schema is migrated.
    await tenancy.initializeTenantSchema(tenant.id)
    await tenancy.deleteTenant({ tenant: tenant.id })
    await tenancy.undeleteTenant({ tenant: tenant.id })
    expect(await others()).toEqual([])
    const { rows } = await withAdmin((admin) =>
      admin.query('select rolsuper from pg_roles where rolname = $1', [account.user]),
    )
    expect(rows).toEqual([{ rolsuper: false }])
  } finally {
    await installation.close()
  }
})
