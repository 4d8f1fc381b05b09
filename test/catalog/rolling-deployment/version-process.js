// @ts-check
// A process of the version whose build is in the folder beside this file. It starts on the configured catalog, uses it and
// stops. The next version runs it from its own commit, so that it always uses the interface of its version.
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
