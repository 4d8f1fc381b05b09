import { z } from '@hono/zod-openapi'
import { TenancyError } from '../../../core/errors/errors.js'
import type { Tenancy } from '../../../tenancy-interface.js'
import { defineOperation, type Operation } from '../../operation.js'
import { tenantParams } from '../schemas.js'
import { platformTenant } from './shapes.js'

const group = 'Platform: tenants'

/** One of the changes of a tenant's status. */
const changeOf = (
  { id, path, summary }: Pick<Operation, 'id' | 'path' | 'summary'>,
  change: (tenancy: Tenancy, input: Parameters<Tenancy['suspendTenant']>[0]) => ReturnType<Tenancy['suspendTenant']>,
) =>
  defineOperation({
    ...{ id, summary, method: 'post', path: `/platform/tenants/{tenant}/${path}`, group },
    access: { platform: true },
    params: tenantParams,
    answer: { status: 200, description: 'The tenant as it is now', schema: platformTenant },
    ...{ refusals: [409], taggedBy: 'updatedAt' },
    run: ({ params, user, tenancy }) => change(tenancy, { tenant: params.tenant, actor: user.id }),
  })

/** The life of tenants: suspended, activated, deleted, brought back, erased. */
export const tenantLifeOperations: readonly Operation[] = [
  changeOf(
    {
      id: 'suspendTenant',
      path: 'suspend',
      summary: 'Suspends an active tenant: its members are refused from then on',
    },
    (tenancy, input) => tenancy.suspendTenant(input),
  ),
  changeOf({ id: 'activateTenant', path: 'activate', summary: 'Ends a suspension' }, (tenancy, input) =>
    tenancy.reactivateTenant(input),
  ),
  changeOf(
    { id: 'undeleteTenant', path: 'undelete', summary: 'Brings a deleted tenant back within its retention' },
    (tenancy, input) => tenancy.undeleteTenant(input),
  ),
  defineOperation({
    id: 'deletePlatformTenant',
    ...{ method: 'delete', path: '/platform/tenants/{tenant}', group },
    summary: 'Deletes a tenant; it can be brought back within the retention period',
    access: { platform: true },
    params: tenantParams,
    answer: { status: 204, description: 'Deleted: nobody is served for it any more' },
    refusals: [409],
    async run({ params, user, tenancy }) {
      await tenancy.deleteTenant({ tenant: params.tenant, actor: user.id })
    },
  }),
  defineOperation({
    id: 'purgeTenant',
    ...{ method: 'post', path: '/platform/tenants/{tenant}/purge', group },
    summary: 'Erases a deleted tenant now, with its database; this cannot be undone',
    access: { platform: true },
    params: tenantParams,
    body: z
      .strictObject({
        confirm: z.string().max(200).openapi({ description: 'The slug of the tenant, typed by a person' }),
      })
      .openapi('PurgeConfirmation'),
    answer: { status: 204, description: 'Erased' },
    refusals: [409],
    async run({ params, body, user, tenancy }) {
      const { id, slug } = await tenancy.getTenant(params.tenant)
      if (body.confirm !== slug) {
        const errors = [{ pointer: '#/confirm', detail: 'must be the slug of the tenant' }]
        throw new TenancyError('TENANCY_REQUEST_INVALID', 'The confirmation is not the slug of the tenant', {
          details: { errors },
        })
      }
      await tenancy.purgeTenant({ tenant: id, actor: user.id })
    },
  }),
]
