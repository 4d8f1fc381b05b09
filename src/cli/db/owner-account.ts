import { openCatalog } from '../../composition/opening/open-catalog.js'
import { openDatabases } from '../../composition/opening/open-databases.js'
import type { Logger } from '../../core/logger.js'
import type { TenantDatabase } from '../../core/model.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { readOpening } from '../../tenancy.js'
import type { CommandContext } from '../context.js'
import { operatorName } from '../opening/operator.js'

/** The owner login of a database, and the group whose role it takes on. */
export interface OwnerAccount {
  readonly account: ServerAccount
  /** Owns the application's objects. */
  readonly group: string
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** Makes the owner login of a tenant's database where it is missing, runs `work`, and undoes what was done to the login. */
export async function withOwnerAccount<Result>(
  context: CommandContext,
  { database, slug }: { readonly database: TenantDatabase; readonly slug: string },
  work: (owner: OwnerAccount) => Promise<Result>,
): Promise<Result> {
  const given = { ...(await context.options()), logger: silent }
  const opening = readOpening(given, { purpose: 'administer', operator: operatorName() })
  try {
    const { databases, names } = await openDatabases(opening, await openCatalog(opening))
    return await databases.withOwner(database, slug, async () =>
      work({ account: await databases.ownerAccountOf(database.id), group: names.owners }),
    )
  } finally {
    await opening.closing.close()
  }
}
