import type { Tenant, TenantStatus } from '../../core/model.js'
import { defineCommand } from '../command.js'
import { tenantShape } from '../shapes.js'
import { oneOf, wholeNumber } from '../values.js'
import { statusCell } from './tenant-facts.js'

interface Input {
  readonly status?: TenantStatus
  readonly behind?: boolean
  readonly after?: string
  readonly limit?: number
}

interface Result {
  readonly tenants: readonly Tenant[]
  readonly next: string | null
}

export const listTenants = defineCommand<Input, Result>({
  name: 'list',
  summary: 'List tenants in the order of their creation',
  options: [
    {
      flags: '--status STATUS',
      description: 'active, suspended or deleted (default: any)',
      parse: oneOf('active', 'suspended', 'deleted'),
    },
    { flags: '--behind', description: 'only those whose schema is older than the files here' },
    { flags: '--limit N', description: 'how many, 1 to 1000 (default: 100)', parse: wholeNumber(1, 1000) },
    { flags: '--after ID', description: 'the next page: `next` of the page before' },
  ],
  examples: [
    { command: 'tenant list', says: 'The first 100 tenants' },
    { command: 'tenant list --status deleted --json', says: 'Deleted ones that are kept, for a program' },
  ],
  json: { tenants: [tenantShape], next: 'string | null' },
  async run(context, { status, behind, after, limit = 100 }) {
    const { tenancy } = await context.open()
    const tenants = await tenancy.listTenants({ status, behind, after, limit })
    // A full page: there may be more.
    return { tenants, next: tenants.length === limit ? (tenants.at(-1)?.id ?? null) : null }
  },
  render({ tenants, next }, page) {
    page.table(
      ['SLUG', 'NAME', 'STATUS', 'CREATED', 'ID'],
      tenants.map(({ slug, name, status, createdAt, id }) => [slug, name, statusCell(status), createdAt, id]),
    )
    if (tenants.length === 0) page.hint('There are none. Create one: tenants2fast tenant create SLUG --owner EMAIL')
    if (next !== null) page.hint(`There may be more: --after ${next}`)
  },
})
