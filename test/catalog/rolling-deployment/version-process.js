// @ts-check
// A process of the version whose build stands beside this file: starts on the configured catalog, uses it, stops. It is run
// from its own commit by the version after it, so that it always speaks the interface of its version.
import { createTenancy } from '../../../dist/index.js'
import { requirePermission, tenancyPlugin } from '../../../dist/adapters/fastify/index.js'
import { useVersion } from './use-version.js'

const tenancy = await createTenancy()
try {
  await useVersion(tenancy, { requirePermission, tenancyPlugin }, process.argv[2] ?? 'version')
  console.log('served')
} finally {
  await tenancy.close()
}
