import { TenancyError } from '../core/errors/errors.js'
import type { FleetExecOptions, FleetExecReport, FleetExecResult } from '../core/fleet/fleet-exec.js'
import type { FleetDatabases } from '../core/fleet/ports.js'
import { statementsOf } from '../postgres/text/sql-statements.js'
import { chooseTenants } from './run/choose-tenants.js'
import { errorOf, runOverTenants, type TenantRunParts } from './run/run-over-tenants.js'

/** What {@link execOnFleet} needs. */
export interface ExecParts extends TenantRunParts {
  readonly databases: Pick<FleetDatabases, 'runScript'>
}

type Outcome = Pick<FleetExecResult, 'outcome' | 'statements' | 'error'>

const defaultStatementTimeoutMs = 30_000
const defaultMaxRows = 1000
const maxRecordedLength = 4000

/** Runs a script in the databases of the tenants that the options say; see `Fleet.exec`. */
export async function execOnFleet(parts: ExecParts, options: FleetExecOptions): Promise<FleetExecReport> {
  const { catalog, databases } = parts
  const { sql, params = [], write = false, tenants, label, onRow, actor = null } = options
  const { statementTimeoutMs = defaultStatementTimeoutMs, maxRows = defaultMaxRows } = options
  const statements = readScript(sql, params)
  const chosen = await chooseTenants(catalog, options)
  // First, because a process that dies meanwhile records nothing at its end. Values are not recorded.
  await catalog.recordRun(actor, 'fleet.exec', {
    ...{ phase: 'begin', sql: sql.slice(0, maxRecordedLength), write },
    ...{ tenants: tenants?.length ?? 'all', ...(label === undefined ? {} : { label }) },
  })
  const onResult = async (result: FleetExecResult) => {
    for (const row of onRow ? result.statements.flatMap((each) => each.rows) : []) {
      await onRow?.({ tenant: result.tenant, row })
    }
    await options.onResult?.(result)
  }
  const { counts, ...end } = await runOverTenants<Outcome>(parts, {
    ...{ options: { ...options, onResult }, chosen, connections: 2, withNewcomers: false },
    zero: { done: 0, failed: 0, skipped: 0 },
    unused: { outcome: 'skipped', statements: [] },
    work: async (tenant) => ({
      outcome: 'done',
      statements: await databases.runScript(tenant, { statements, params, write, statementTimeoutMs, maxRows }),
    }),
    fail: (_tenant, error) => ({
      ...{ outcome: 'failed', statements: [], error: errorOf(error) },
    }),
    record: ({ counts: all, remaining, stopped }) =>
      catalog.recordRun(actor, 'fleet.exec', { phase: 'end', ...all, remaining, stopped }),
  })
  return { ...counts, ...end }
}

/** Statements that begin or end transactions, and COPY, which would take the connection over. */
const transactionWords: ReadonlySet<string | undefined> = new Set([
  ...['begin', 'start', 'commit', 'end', 'rollback', 'abort', 'savepoint', 'release', 'copy'],
])

const invalid = (problem: string) => new TenancyError('TENANCY_REQUEST_INVALID', `Invalid input: ${problem}`)

/**
 * Splits a script into its statements.
 *
 * @throws {@link TenancyError} TENANCY_REQUEST_INVALID: none, one that controls the transaction, or values for several
 */
function readScript(sql: string, params: readonly unknown[]): string[] {
  const found = statementsOf(sql)
  if (found.length === 0) throw invalid('sql: there is no statement in it')
  if (found.length > 1 && params.length > 0) throw invalid('params: only a single statement takes values')
  for (const { words } of found) {
    const isControl = transactionWords.has(words[0]) || (words[0] === 'prepare' && words[1] === 'transaction')
    if (isControl)
      throw invalid(
        `sql: ${words[0]?.toUpperCase()} cannot be used: a tenant's statements are one transaction, and their rows are results`,
      )
  }
  return found.map(({ start }, index) => sql.slice(start, found[index + 1]?.start))
}
