import type { RouteParts } from './route-table.js'

/**
 * Lifts the login limit for an owner who used a link from a mail, so that attempts of others do not lock the owner out. A
 * failure is only logged: what the link did is done already.
 */
export async function trustOwner(
  { host, limits }: Pick<RouteParts, 'host' | 'limits'>,
  userId: string,
  address: string,
): Promise<void> {
  try {
    const { rows } = await host.catalog.query<{ email: string }>('select email from users where id = $1', [userId])
    if (rows[0]) await limits.trust({ account: rows[0].email, address })
  } catch (error) {
    host.logger.warn(
      { userId, error: String(error) },
      'Could not clear the count of login attempts after a mailed link was used',
    )
  }
}
