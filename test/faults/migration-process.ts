import { createTenancy } from '../../src/tenancy.js'
import { endWithParent } from '../support/processes/parent-process.js'
import { silentLogger } from '../support/silent-logger.js'

// A process of the new release: migrates the tenant that the first argument names, and ends.

const leaveParent = endWithParent()
const tenancy = await createTenancy({ logger: silentLogger })
await tenancy.initializeTenantSchema(process.argv[2] ?? '')
leaveParent()
await tenancy.close()
