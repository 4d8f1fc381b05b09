import { z } from '@hono/zod-openapi'
import { TenancyError } from '../../../core/errors/errors.js'
import { defineOperation, type Operation } from '../../operation.js'

const count = z.int().min(0)

/** The token of administrators, and the state of the installation as a whole. */
export const installationOperations: readonly Operation[] = [
  defineOperation({
    id: 'exchangePlatformToken',
    ...{ method: 'post', path: '/platform/token', group: 'Platform' },
    summary: 'Exchanges the caller’s access token for a token of the platform',
    description:
      'For administrators of the installation, with an access token of this installation that is bound to no tenant. ' +
      'The token of the platform counts for `/platform` only, is short-lived and cannot be refreshed or exchanged.',
    access: { everyUser: true },
    answer: {
      ...{ status: 200, description: 'The token, shown once' },
      schema: z
        .object({
          accessToken: z.string(),
          tokenType: z.literal('Bearer'),
          expiresIn: z.int().openapi({ description: 'Seconds' }),
        })
        .openapi('PlatformToken'),
    },
    async run({ context, tenancy }) {
      if (context.token === undefined) throw new TenancyError('TENANCY_AUTH_REQUIRED')
      const { token, expiresIn } = await tenancy.platformTokens().exchange(context.token)
      return { accessToken: token, tokenType: 'Bearer' as const, expiresIn }
    },
  }),
  defineOperation({
    id: 'readInstallation',
    ...{ method: 'get', path: '/platform/summary', group: 'Platform' },
    summary: 'Counts users, tenants by status and tenant databases by state',
    access: { platform: true },
    answer: {
      ...{ status: 200, description: 'How much the installation holds' },
      schema: z
        .object({
          users: z.object({ enabled: count, disabled: count }),
          tenants: z.object({ active: count, suspended: count, deleted: count }),
          databases: z.object({ building: count, ready: count, assigned: count, retired: count, dropping: count }),
        })
        .openapi('InstallationSummary'),
    },
    run: ({ tenancy }) => tenancy.summary(),
  }),
]
