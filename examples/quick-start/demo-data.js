// @ts-check
import { isTenancyError } from 'tenants2fast'

/**
 * Two tenants with databases of their own; Dana owns both, Max is a plain member of the first. Running it again
 * changes nothing.
 *
 * @param {import('tenants2fast').Tenancy} tenancy
 */
export async function createDemoData(tenancy) {
  const dana = await ensureUser(tenancy, 'dana@example.com', 'Dana Demo')
  const max = await ensureUser(tenancy, 'max@example.com', 'Max Member')
  const acme = await ensureTenant(tenancy, 'acme', 'Acme Corporation', dana.id)
  const globex = await ensureTenant(tenancy, 'globex', 'Globex', dana.id)
  try {
    await tenancy.addMember({ tenant: acme.id, user: max.id })
  } catch (error) {
    if (!isTenancyError(error, 'TENANCY_MEMBER_EXISTS')) throw error
  }
  for (const tenant of [acme, globex]) {
    await tenancy
      .getTenantPool(tenant)
      .query('insert into notes (author, body) select $1, $2 where not exists (select from notes)', [
        dana.email,
        `The first note of ${tenant.name}`,
      ])
  }
  return { dana, max, acme, globex }
}

/** @param {import('tenants2fast').Tenancy} tenancy @param {string} email @param {string} name */
async function ensureUser(tenancy, email, name) {
  return (await tenancy.findUserByEmail(email)) ?? tenancy.createUser({ email, name, emailVerified: true })
}

/** @param {import('tenants2fast').Tenancy} tenancy @param {string} slug @param {string} name @param {string} owner */
async function ensureTenant(tenancy, slug, name, owner) {
  return (await tenancy.findTenant(slug)) ?? tenancy.createTenant({ name, slug, owner })
}
