import type { Reconciliation } from '../../databases/lifecycle/reconcile.js'
import { defineCommand } from '../command.js'
import { withCatalog } from './open-catalog.js'

export const reconcile = defineCommand<object, Reconciliation>({
  name: 'reconcile',
  summary: 'Finish what dead processes left, drop what is due, and compare the server with the catalog',
  description:
    'Applications do the same in the background. A database that is not in the catalog is never dropped, and one that is ' +
    'missing is only named.',
  examples: [{ command: 'db reconcile', says: 'After a crash, without waiting for an application' }],
  json: {
    dropped: ['string'],
    purged: ['string'],
    templates: ['string'],
    failed: ['string'],
    missing: ['string'],
    unknown: ['string'],
  },
  run: (context) =>
    withCatalog(context, async ({ tenancy, catalog }) => {
      const result = await tenancy.reconcile()
      const { dropped, purged, templates } = result
      if (dropped.length + templates.length > 0) {
        const { recordOperatorEntry } = await import('../../catalog/audit/operator-entries.js')
        const after = { dropped: dropped.length, purged: purged.length, templates: templates.length }
        await recordOperatorEntry(catalog, { action: 'databases.reconcile', subject: 'databases', after })
      }
      return result
    }),
  render({ dropped, purged, templates, failed, missing, unknown }, page) {
    page.facts([
      ['Databases dropped', dropped.length],
      ['Tenants removed', purged.length],
      ['Unfinished templates dropped', templates.length],
    ])
    for (const id of failed) page.line(`Could not be dropped; the next run tries again: ${id}`, 'yellow')
    for (const id of missing)
      page.line(`A tenant’s database is not on the server; restore it from a backup: ${id}`, 'red')
    for (const name of unknown) page.line(`Not in the catalog, and left as it is: ${name}`, 'yellow')
  },
  exitCode: ({ failed, missing }) => (failed.length + missing.length > 0 ? 1 : 0),
})
