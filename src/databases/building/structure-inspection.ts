import type { DatabaseInspection, InspectionOptions } from '../../core/fleet/fleet-check.js'
import type { SqlClient } from '../../core/sql-client.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { quoteIdentifier } from '../../postgres/text/quote.js'
import type { DatabaseNames } from '../database-names.js'
import { insideSettings, openConnection } from '../server/admin-connection.js'
import { withHeartbeat } from '../server/lock-heartbeat.js'
import { notCarriedSettings } from './database-settings.js'
import type { ServerPreparation } from './server-preparation.js'
import { withTemplate } from './template.js'

/** What {@link createStructureInspection} needs. */
export interface StructureInspectionOptions {
  /** The provisioning account. */
  readonly server: ServerAccount
  readonly names: DatabaseNames
  readonly preparation: Pick<ServerPreparation, 'prepared'>
}

/** Stands for the role of whichever database it is. */
const tenantRole = '<tenant>'
/** Settings that we give databases. */
const ownSettings = ['temp_file_limit']

/**
 * Inspections of the databases of one server. A template accepts no connections, so that it can be copied at any time: a
 * copy of it is inspected, which cannot differ from what a new tenant gets, whichever process or release has made the
 * template. The copy has the name of a template under construction, and exists under the same lock: what a killed process
 * leaves is dropped in the same way.
 */
export function createStructureInspection({
  server,
  names,
  preparation,
}: StructureInspectionOptions): DatabaseInspection {
  return {
    inspect: ({ name, roleName }, options, work) =>
      inside({ ...server, database: name }, options, (client) =>
        work({
          ...{ client, name, roles: { [roleName]: tenantRole }, ignoredSettings: ownSettings },
          // The first migration makes it.
          ignoredRoles: [names.ownerLogin(name)],
        }),
      ),

    async inspectTemplate(options, work) {
      const { schema, templateOptions } = await preparation.prepared()
      const copyName = templateOptions.names.unfinishedTemplate
      return withTemplate(templateOptions, schema, async (admin, template) => {
        const ignoredSettings = [...ownSettings, ...notCarriedSettings]
        const schemaVersion = schema.latest.version
        try {
          await copyTemplate(admin, template.name, copyName)
          return await withHeartbeat(admin, () =>
            inside({ ...server, database: copyName }, options, (client) =>
              // CREATE DATABASE copies neither settings nor privileges of the database: those are read of the template.
              work({
                ...{ client, name: template.name, roles: { '': tenantRole }, ignoredSettings, schemaVersion },
                ignoredRoles: [],
              }),
            ),
          )
        } finally {
          // If that fails, the reconciler drops it.
          await admin.query(`drop database if exists ${quoteIdentifier(copyName)} with (force)`).catch(() => {})
        }
      })
    },
  }
}

async function copyTemplate(admin: SqlClient, template: string, copyName: string): Promise<void> {
  const copy = quoteIdentifier(copyName)
  await admin.query(`drop database if exists ${copy} with (force)`)
  // As for a tenant's database: no connections until PUBLIC has lost CONNECT.
  await admin.query(
    `create database ${copy} template ${quoteIdentifier(template)} strategy wal_log allow_connections false`,
  )
  await admin.query(`revoke all on database ${copy} from public; alter database ${copy} allow_connections true`)
}

async function inside<Result>(
  account: ServerAccount,
  { settings, signal }: InspectionOptions,
  work: (client: SqlClient) => Promise<Result>,
): Promise<Result> {
  signal?.throwIfAborted()
  const client = await openConnection(account, undefined, `${insideSettings} ${settings}`)
  // Ends a query that is under way: `end` then closes the socket.
  const end = () => void client.end().catch(() => {})
  signal?.addEventListener('abort', end)
  try {
    signal?.throwIfAborted()
    return await work(client)
  } finally {
    signal?.removeEventListener('abort', end)
    if (signal?.aborted !== true) await client.end()
  }
}
