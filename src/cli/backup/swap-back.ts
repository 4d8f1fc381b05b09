import type { Tenant } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { tenantShape } from '../shapes.js'
import { tenantArgument, type TenantInput } from '../tenant/tenant-argument.js'
import { wholeNumber } from '../values.js'

interface Input extends TenantInput {
  readonly keepDays?: number
}

export const swapTenantBack = defineCommand<Input, { readonly tenant: Tenant }>({
  name: 'swap-back',
  summary: 'Give a tenant the database back that the last restore replaced',
  description:
    'The two databases change places, so the command undoes itself. What was written since the restore is in the other one.',
  arguments: [tenantArgument],
  options: [
    {
      flags: '--keep-days N',
      description: 'days that the replaced database is kept (default: TENANT_SWAPPED_DAYS)',
      parse: wholeNumber(0, 3650),
    },
  ],
  examples: [{ command: 'tenant swap-back acme', says: 'Asks you to type acme' }],
  json: { tenant: tenantShape },
  exitCodes: [3, 4],
  isWriting: true,
  isDestructive: true,
  async run(context, { tenant: named, keepDays }) {
    const { tenancy, actor } = await context.open()
    const { id, slug } = await tenancy.getTenant(named)
    await context.confirm({
      typed: slug,
      consequences: [
        `${slug} works on the database from before the last restore. What was written since is in the other one.`,
      ],
    })
    return { tenant: await tenancy.swapBack({ tenant: id, keepDays, actor }) }
  },
  render({ tenant }, page) {
    page.line(`${tenant.slug} has its earlier database back`)
  },
})
