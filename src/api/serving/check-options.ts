import { z } from 'zod'
import { TenancyError } from '../../core/errors/errors.js'

const most = z.int().min(1).max(1_000_000_000).optional()
const callback = z.custom((value) => typeof value === 'function', 'must be a function')

// Segments of letters, digits and a few marks, so that nothing has to be escaped in addresses or the page.
const publicPath = z.union([
  z.boolean(),
  z
    .string()
    .max(200)
    .regex(/^(?:\/[\w-][\w.-]*)+$/, 'must be a path such as /reference'),
])

const options = z.strictObject({
  tenancy: z.custom((value) => typeof value === 'object' && value !== null, 'must be what createTenancy() gives'),
  title: z.string().min(1).optional(),
  version: z.string().min(1).optional(),
  platform: z.boolean().optional(),
  ask: z.boolean().optional(),
  document: publicPath.optional(),
  reference: publicPath.optional(),
  limits: z
    .strictObject({
      ...{ changesPerUser: most, changesPerTenant: most, readsPerUser: most, strangersPerAddress: most },
      ...{ invitationsPerAddress: most, sendsPerInvitation: most, invitationsPerTenant: most },
      secondsBetweenInvitations: z.int().min(0).max(86_400).optional(),
    })
    .optional(),
  selfService: z
    .strictObject({
      tenantsPerUser: z.union([z.int().min(0), z.literal(Infinity)]).optional(),
      maxUsers: z.int().min(1).nullable().optional(),
    })
    .optional(),
  membersChangeAttributes: z.boolean().optional(),
  sendInvitation: callback.optional(),
})

/** @throws {@link TenancyError} TENANCY_CONFIG_INVALID naming every problem */
export function checkOptions(given: unknown): void {
  const parsed = options.safeParse(given)
  if (parsed.success) return
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'options'}: ${message}`)
  throw new TenancyError('TENANCY_CONFIG_INVALID', `createApi: ${problems.join('; ')}`)
}
