import { randomUUID } from 'node:crypto'
import { createInvitations } from '../../../src/catalog/invitations/invitations.js'
import { createMemberships } from '../../../src/catalog/members/memberships.js'
import { createAccessCatalog } from '../access/fixture.js'

/** A catalog with the built-in roles, invitations and memberships. */
export type InvitationCatalog = Awaited<ReturnType<typeof createInvitationCatalog>>

/** Creates a new catalog whose users have verified addresses. */
export async function createInvitationCatalog() {
  const catalog = await createAccessCatalog()
  for (const role of ['Member', 'Admin']) await catalog.addRole(null, role)
  await catalog.pool.query(
    `insert into role_inclusions (role_id, included_role_id)
     select (select id from roles where name = 'Admin'), id from roles where name = 'Member'`,
  )
  return {
    ...catalog,
    invitations: createInvitations({ catalog: catalog.pool }),
    memberships: createMemberships({ catalog: catalog.pool }),
    /** Creates a user with a verified address. */
    async addPerson(email = `${randomUUID()}@example.com`): Promise<{ id: string; email: string }> {
      return catalog.one('insert into users (email, email_verified) values ($1, true) returning id, email', [email])
    },
  }
}
