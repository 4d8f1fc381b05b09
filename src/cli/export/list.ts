import type { TenantExport } from '../../index.js'
import { bytesText } from '../backup/backup-progress.js'
import { defineCommand } from '../command.js'
import { tenantArgument, type TenantInput } from '../tenant/tenant-argument.js'
import { wholeNumber } from '../values.js'
import { exportShape } from './export-shape.js'

interface Input extends TenantInput {
  readonly limit?: number
  readonly after?: string
}

interface Result {
  readonly exports: readonly TenantExport[]
  readonly next: string | null
}

export const listExports = defineCommand<Input, Result>({
  name: 'list',
  summary: 'List exports of a tenant that are under way or kept',
  description:
    'Exports are asked for by Owners and administrators of the platform, and made by the processes of the application. An operator ' +
    'who wants the data of a tenant takes `tenant backup`, which needs none of them. The application’s file has to have the option `exports`.',
  arguments: [tenantArgument],
  options: [
    { flags: '--limit N', description: 'how many, 1 to 1000 (default: 100)', parse: wholeNumber(1, 1000) },
    { flags: '--after ID', description: 'the next page: `next` of the page before' },
  ],
  examples: [{ command: 'export list acme', says: 'In the order in which they were started' }],
  json: { exports: [exportShape], next: 'string | null' },
  exitCodes: [3],
  async run(context, { tenant, limit = 100, after }) {
    const { tenancy } = await context.open()
    const exports = await tenancy.listTenantExports({ tenant, limit, after })
    return { exports, next: exports.length === limit ? (exports.at(-1)?.id ?? null) : null }
  },
  render({ exports, next }, page) {
    page.table(
      ['EXPORT', 'STATE', 'STARTED', 'KEPT UNTIL', 'SIZE', 'BY'],
      exports.map(({ id, state, error, createdAt, expiresAt, bytes, requestedBy }) => [
        id,
        error === null ? state : { text: `${state}: ${error}`, style: 'red' },
        createdAt,
        expiresAt,
        bytes === null ? '' : bytesText(bytes),
        requestedBy ?? 'an operator, or somebody who is gone',
      ]),
    )
    if (exports.length === 0)
      page.hint('There are none. For the data itself: tenants2fast tenant backup TENANT --to FOLDER')
    if (next !== null) page.hint(`There may be more: --after ${next}`)
  },
})
