import { createHmac } from 'node:crypto'
import { normalizeEmail } from '../../core/identity/email.js'
import type { SqlClient } from '../../core/sql-client.js'
import { catalogAnswer } from '../../postgres/outages/catalog-outage.js'
import type { Counted, SharedCounts } from '../../core/shared-counts.js'
import { tooMany } from './counts.js'
import type { ApiLimits } from './request-limits.js'

/** A mail with an invitation that is about to leave. */
export interface InvitationMail {
  /** Id of the tenant. */
  readonly tenant: string
  /** The invited address, as given. Default: that of the invitation. */
  readonly email?: string | undefined
  /** Id of an invitation that is sent again. */
  readonly invitation?: string | undefined
}

/** Counts mails with invitations. */
export interface InvitationLimits {
  /**
   * Counts a mail, before anything is done for it.
   * @throws {@link TenancyError} TENANCY_REQUEST_TOO_MANY with `retryAfterSeconds`; TENANCY_CATALOG_UNAVAILABLE
   */
  count(mail: InvitationMail): Promise<void>
}

const hourSeconds = 60 * 60
const daySeconds = 24 * hourSeconds

/**
 * Creates the limits of mails with invitations, so that a tenant cannot fill somebody's mailbox. They are counted in the
 * catalog for all processes, in one statement; addresses are stored as keyed hashes.
 *
 * @param secret key of the hashes
 */
export function createInvitationLimits(
  counts: SharedCounts,
  catalog: SqlClient,
  secret: Buffer,
  most: ApiLimits = {},
): InvitationLimits {
  const { invitationsPerAddress = 5, sendsPerInvitation = 3, invitationsPerTenant = 500 } = most
  const { secondsBetweenInvitations = 60 } = most
  const keyOf = (...parts: readonly string[]) =>
    `invitation:${createHmac('sha256', secret).update(JSON.stringify(parts)).digest('base64url')}`

  async function findAddress(tenant: string, invitation: string): Promise<string | undefined> {
    const text = 'select email from invitations where id = $1 and tenant_id = $2'
    const { rows } = await catalogAnswer(catalog.query<{ email: string }>(text, [invitation, tenant]), 'limits')
    return rows[0]?.email
  }

  return {
    async count({ tenant, email, invitation }) {
      const address = email ?? (invitation === undefined ? undefined : await findAddress(tenant, invitation))
      // The function that sends it says that there is none.
      if (address === undefined) return
      const to = normalizeEmail(address) ?? address.trim().toLowerCase()
      const counted: Counted[] = []
      const take = (points: number, windowSeconds: number, ...parts: readonly string[]) =>
        counted.push({ key: keyOf(tenant, ...parts), points, windowSeconds })
      if (secondsBetweenInvitations > 0) take(1, secondsBetweenInvitations, 'pause', to)
      if (invitation !== undefined) take(sendsPerInvitation, hourSeconds, 'invitation', invitation)
      take(invitationsPerAddress, daySeconds, 'address', to)
      take(invitationsPerTenant, daySeconds, 'all')
      const found = await counts.count(counted)
      for (const [index, { points }] of counted.entries()) {
        const count = found[index]
        if (count === undefined || count.consumed > points) throw tooMany(count?.msLeft ?? 1000)
      }
    },
  }
}
