import type { Client } from 'pg'
import { TenancyError } from '../../core/errors/errors.js'
import type { ServerAccount } from '../../core/tenants/database-target.js'
import { hasSqlState, sqlStates } from '../../postgres/outages/sql-states.js'
import { readAppliedFiles } from '../../postgres/files/sql-files.js'
import type { AppliedFiles } from '../../core/tenants/tenant-databases.js'
import { ledgerSchema } from '../building/tenant-schema.js'
import { insideSettings, openConnection } from '../server/admin-connection.js'
import { quoteRelation, readRelations, type Relations } from './relations.js'

/** The value of a sequence. */
export interface SequenceValue {
  readonly schema: string
  readonly name: string
  /** Text of a `bigint`. */
  readonly lastValue: string
  readonly isCalled: boolean
}

/** One moment of a database, which other sessions go on changing. Its tables are locked against changes of structure. */
export interface DatabaseSnapshot {
  /** In the transaction that holds the snapshot. */
  readonly client: Client
  /** For `SET TRANSACTION SNAPSHOT` and `pg_dump --snapshot`; usable until `close`. */
  readonly id: string
  readonly takenAt: Date
  readonly relations: Relations
  readonly sequences: readonly SequenceValue[]
  /** The state of the ledger. */
  readonly schema: AppliedFiles
  /** Ends the transaction and the connection. */
  close(): Promise<void>
}

/**
 * Settings under which data is written as text and read again: the same on both sides, whatever database and role set.
 * Row-level security must not filter a copy: PostgreSQL refuses the statement instead.
 */
const settings = [
  'datestyle=ISO',
  'intervalstyle=postgres',
  'extra_float_digits=3',
  'bytea_output=hex',
  'lc_monetary=C',
  'timezone=UTC',
  'xmloption=content',
  'row_security=off',
]
/** {@link settings}, for a connection to start with. */
const copyOptions = settings.map((setting) => `-c ${setting}`).join(' ')
/** {@link settings}, for a connection that is open. */
export const copySettingsSql = settings.map((setting) => `set ${setting.replace('=', " to '")}'`).join('; ')

const maxAttempts = 5

/**
 * Takes a snapshot of a database. The tables are locked before it is taken: of a table that was rewritten between both, the
 * snapshot would see nothing (PostgreSQL manual, 13.6). Waits for a lock for as long as `lockTimeoutMs`.
 *
 * @param account the provisioning account, inside of the database
 * @throws {@link TenancyError} TENANCY_DATABASE_COPY_REFUSED: the structure changes all the time
 */
export async function takeSnapshot(account: ServerAccount, lockTimeoutMs = 10_000): Promise<DatabaseSnapshot> {
  const client = await openConnection(account, undefined, `${insideSettings} ${copyOptions}`)
  try {
    for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
      const taken = await tryOnce(client, lockTimeoutMs)
      if (taken === undefined) continue
      return { client, ...taken, close: () => client.end() }
    }
    throw new TenancyError(
      'TENANCY_DATABASE_COPY_REFUSED',
      `The structure of the database ${account.database} changes all the time: try again when its migration is over`,
    )
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
}

async function tryOnce(
  client: Client,
  lockTimeoutMs: number,
): Promise<Omit<DatabaseSnapshot, 'client' | 'close'> | undefined> {
  const before = await readRelations(client)
  await client.query(`begin isolation level repeatable read, read only; set local lock_timeout = ${lockTimeoutMs}`)
  try {
    // Before the first query: that takes the snapshot.
    if (before.tables.length > 0) {
      await client.query(
        `lock table ${before.tables.map((table) => `only ${quoteRelation(table)}`).join(', ')} in access share mode`,
      )
    }
    const { rows } = await client.query<{ id: string; takenAt: Date }>(
      `select pg_catalog.pg_export_snapshot() as id, pg_catalog.clock_timestamp() as "takenAt"`,
    )
    const relations = await readRelations(client)
    const [taken] = rows
    if (taken === undefined || JSON.stringify(relations) !== JSON.stringify(before)) {
      await client.query('rollback')
      return undefined
    }
    const sequences: SequenceValue[] = []
    for (const sequence of relations.sequences) {
      const { rows: values } = await client.query<{ lastValue: string; isCalled: boolean }>(
        `select last_value::pg_catalog.text as "lastValue", is_called as "isCalled" from ${quoteRelation(sequence)}`,
      )
      if (values[0]) sequences.push({ ...sequence, ...values[0] })
    }
    return { ...taken, relations, sequences, schema: await readAppliedFiles(client, ledgerSchema) }
  } catch (error) {
    // A table was dropped after it was listed.
    if (!hasSqlState(error, sqlStates.undefinedTable)) throw error
    await client.query('rollback')
    return undefined
  }
}
