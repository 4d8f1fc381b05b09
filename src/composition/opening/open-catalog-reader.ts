import { type CatalogReader, createCatalogReader, maxReaderConnections } from '../../catalog/reading/catalog-reader.js'
import { ensureReaderRole } from '../../catalog/reading/reader-role.js'
import { ownCopy, pgCopyOf } from '../../connections/session/client/pg-copy.js'
import { restoreRole } from '../../databases/server/restore-role.js'
import { deriveReaderPassword, scramVerifier } from '../../databases/server/role-password.js'
import { deriveLockKey } from '../../postgres/advisory-lock.js'
import { checkBudget } from './check-budget.js'
import type { OpenCatalog } from './open-catalog.js'
import type { Opening } from './opening.js'

/** Makes the reader of the catalog. Nothing is made on the server, and nothing connects, before it is first used. */
export async function openCatalogReader(
  { config, closing, pg }: Opening,
  { catalog, catalogAccount, server, records }: OpenCatalog,
): Promise<CatalogReader> {
  const installationId = await records.installationId()
  // One role for each installation: its password follows from the secret.
  const user = `${config.databasePrefix}reader_${installationId.replaceAll('-', '').slice(0, 12)}`
  const password = deriveReaderPassword(server.secret, installationId)
  const account = { ...catalogAccount, user, password, applicationName: 'tenants2fast catalog reader' }
  const { pool, close } = createCatalogReader({
    ...{ account, copy: pg === undefined ? ownCopy : pgCopyOf(pg) },
    async prepare() {
      await checkBudget(catalog, config, maxReaderConnections)
      await ensureReaderRole(catalog, {
        ...{ name: user, verifier: scramVerifier(password), database: catalogAccount.database },
        lockKey: deriveLockKey(server.secret, 'catalog reader'),
      })
      // What the role can change of itself.
      await restoreRole(catalog, account)
    },
  })
  closing.add(close)
  return pool
}
