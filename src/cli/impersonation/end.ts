import type { Impersonation } from '../../index.js'
import { defineCommand } from '../command.js'
import { tenantArgument, type TenantInput } from '../tenant/tenant-argument.js'
import { impersonationShape } from './impersonation-shape.js'

interface Input extends TenantInput {
  readonly impersonation: string
}

export const endImpersonation = defineCommand<Input, { readonly impersonation: Impersonation }>({
  name: 'end',
  summary: 'End an impersonation at once, in every process',
  description: 'One that is over already stays as it is. The tenant’s audit log has an entry, which its Owners see.',
  arguments: [tenantArgument, { name: 'impersonation', description: 'id of the impersonation' }],
  examples: [
    {
      command: 'impersonation end acme 0199d3a4-5e6f-7a8b-9c0d-1e2f3a4b5c6d',
      says: 'The next request with its token is refused',
    },
  ],
  json: { impersonation: impersonationShape },
  exitCodes: [3, 4],
  isWriting: true,
  async run(context, { tenant, impersonation }) {
    const { tenancy, actor } = await context.open()
    return { impersonation: await tenancy.endImpersonation({ tenant, impersonation, actor }) }
  },
  render({ impersonation }, page) {
    const { id, endedAt, expiresAt } = impersonation
    page.line(`The impersonation ${id} has ended at ${(endedAt ?? expiresAt).toISOString()}`)
  },
})
