// @ts-check
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

/**
 * Says how to go on when the data is from before the first release of tenants2fast, which nothing migrates.
 *
 * @param {Pick<import('tenants2fast').Config, 'server' | 'dataDir' | 'catalogDatabase'>} config
 */
export function describeFreshStart({ server, dataDir, catalogDatabase }) {
  if (server !== undefined) {
    return `The catalog in database "${catalogDatabase}" is from before the first release of tenants2fast. This version cannot use it.
Start with a new catalog:

  TENANT_CATALOG_DB=${catalogDatabase.slice(0, 61)}_2 npm start`
  }
  let number = 2
  while (existsSync(`${dataDir}-${number}`)) number += 1
  return `The data in ${resolve(dataDir)} is from before the first release of tenants2fast. This version cannot use it.
Start with a fresh folder:

  TENANT_DATA_DIR='${dataDir}-${number}' npm start

or delete the old folder, and the tenants in it, and start again:

  rm -r '${resolve(dataDir)}' && npm start`
}
