import { z } from '@hono/zod-openapi'
import { TenancyError } from '../../core/errors/errors.js'
import { requireTenant } from '../../http/require-user.js'
import { defineOperation, type Operation } from '../operation.js'
import { momentOrNull, tenantParams } from './schemas.js'

const settings = z
  .object({
    settings: z.record(z.string(), z.unknown()).openapi({
      description: 'As the application’s schema has them, with its defaults. A secret is `{ "isSet": true }` or null',
    }),
    version: z.number().int().openapi({ description: 'The ETag, without its quotes; 0: nothing was set yet' }),
    updatedAt: momentOrNull,
    invalid: z
      .array(z.string())
      .readonly()
      .openapi({ description: 'Fields whose stored value the schema does not allow any more: shown is the default' }),
  })
  .openapi('TenantSettings')

const changes = z
  .record(z.string(), z.unknown())
  .openapi('TenantSettingsChanges', { description: 'A merge patch (RFC 7396): null removes, so the default is valid' })

const group = 'Settings'

/** Reads the version in a tag. @throws TENANCY_CHANGE_OUTDATED: it is none */
function versionOf(tag: string | undefined): number | undefined {
  if (tag === undefined) return undefined
  if (/^(0|[1-9]\d{0,8})$/.test(tag)) return Number(tag)
  throw new TenancyError('TENANCY_CHANGE_OUTDATED')
}

/** The settings of a tenant, by the application's schema. */
export const settingsOperations: readonly Operation[] = [
  defineOperation({
    id: 'getTenantSettings',
    ...{ method: 'get', path: '/tenants/{tenant}/settings', group },
    summary: 'Reads the settings of the tenant, without the text of secrets',
    access: { permission: 'settings:read' },
    params: tenantParams,
    whileImpersonating: true,
    answer: { status: 200, description: 'The settings', schema: settings },
    taggedBy: 'version',
    run: ({ context, tenancy }) => tenancy.showTenantSettings({ tenant: requireTenant(context).id }),
  }),
  defineOperation({
    id: 'updateTenantSettings',
    ...{ method: 'patch', path: '/tenants/{tenant}/settings', group },
    summary: 'Changes settings of the tenant; what is left out stays, and null goes back to the default',
    access: { permission: 'settings:update' },
    params: tenantParams,
    body: changes,
    whileImpersonating: true,
    answer: { status: 200, description: 'The settings as they are now', schema: settings },
    ...{ takesTag: true, refusals: [409, 412, 422], taggedBy: 'version' },
    async run({ body, scope, tenancy, expectedTag }) {
      await tenancy.updateTenantSettings({ ...scope, changes: body, expectedVersion: versionOf(expectedTag) })
      return tenancy.showTenantSettings({ tenant: scope.tenant })
    },
  }),
]
