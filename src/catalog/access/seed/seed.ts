import type { AccessDefinition } from '../../../core/access/access.js'
import { TenancyError } from '../../../core/errors/errors.js'
import type { SqlClient, SqlPool } from '../../../core/sql-client.js'
import { lockInstallation } from '../../change.js'
import { commitChange } from '../lookup.js'
import { entriesOf, parseKey, type SeedEntry, seedKinds } from './seed-entries.js'
import { takeNames } from '../roles/role-names.js'
import { insertions, retirements, revivals } from './seed-statements.js'
import { inTransaction } from '../../transaction.js'

/** Result of {@link seedAccess}. Both 0: it wrote nothing. */
export interface SeedAccessResult {
  /** Entries of the definition that were new to this catalog, or returned to it. */
  readonly applied: number
  /** Entries that had left the definition. */
  readonly retired: number
}

/** State of an entry: it is applied; it left and was retired; it left and was kept, because somebody had changed it. */
type State = 'applied' | 'retired' | 'left'

interface Plan {
  readonly fresh: readonly SeedEntry[]
  /** Retired entries that the definition contains again. */
  readonly revived: readonly SeedEntry[]
  /** Kept entries that the definition contains again. */
  readonly resumed: readonly SeedEntry[]
  readonly leaving: readonly SeedEntry[]
}

/**
 * Makes the catalog follow an access definition, in one transaction, one process at a time. Every entry is applied once
 * and recorded, so whatever an administrator deactivated, removed or granted by hand stays that way. A definition of the
 * catalog's version adds its new entries. One of a higher version also retires the entries that left it, unless somebody
 * changed them. A second run writes nothing, and so does a process whose definition has a lower version than the
 * catalog's. A tenant's own role gives way to a new built-in role of its name: it gets another one (`takeNames`).
 *
 * @throws {@link TenancyError} TENANCY_ACCESS_ROLE_CYCLE when an administrator made the included role include the including one
 */
export async function seedAccess(pool: SqlPool, definition: AccessDefinition): Promise<SeedAccessResult> {
  return inTransaction(pool, async (client) => {
    await client.query('select pg_advisory_xact_lock(7230951, 2)')
    const version = await readVersion(client)
    if (definition.version < version) return { applied: 0, retired: 0 }
    const plan = await makePlan(client, entriesOf(definition))
    const { fresh, revived, resumed } = plan
    // Two definitions of the same version have no order. So a script without a definition of its own, or a process of the
    // last deployment, retires nothing.
    const leaving = definition.version > version ? plan.leaving : []
    if (definition.version > version) {
      await client.query('update installation set access_version = $1', [definition.version])
    }
    if (fresh.length + revived.length + resumed.length + leaving.length === 0) return { applied: 0, retired: 0 }
    await lockInstallation(client)
    const retired = await retire(client, leaving)
    await apply(client, plan)
    await commitChange(client, {}, 'access.seed', null, null, {
      version: definition.version,
      entries: keysOf([...fresh, ...revived, ...resumed]),
      retired,
      left: keysOf(leaving).filter((key) => !retired.includes(key)),
    })
    return { applied: fresh.length + revived.length + resumed.length, retired: leaving.length }
  })
}

async function readVersion(client: SqlClient): Promise<number> {
  const { rows } = await client.query<{ version: number }>('select access_version as version from installation')
  return rows[0]?.version ?? 0
}

async function makePlan(client: SqlClient, entries: readonly SeedEntry[]): Promise<Plan> {
  const { rows } = await client.query<{ entry: string; state: State }>('select entry, state from access_seed_entries')
  const states = new Map(rows.map(({ entry, state }) => [entry, state]))
  const wanted = new Set(entries.map((entry) => entry.key))
  const inState = (state: State | undefined) => entries.filter((entry) => states.get(entry.key) === state)
  const gone = rows.filter(({ entry, state }) => state === 'applied' && !wanted.has(entry))
  return {
    fresh: inState(undefined),
    revived: inState('retired'),
    resumed: inState('left'),
    leaving: gone.map(({ entry }) => parseKey(entry)).filter((entry) => entry !== undefined),
  }
}

/** Retires the entries that left the definition. Returns the keys of those that nobody had changed. */
async function retire(client: SqlClient, leaving: readonly SeedEntry[]): Promise<string[]> {
  const retired: string[] = []
  for (const kind of seedKinds.toReversed()) {
    const keys = await run<{ key: string }>(client, retirements[kind], ofKind(leaving, kind))
    retired.push(...keys.map(({ key }) => key))
  }
  await client.query(
    `update access_seed_entries set state = 'retired', applied_at = now() where entry = any ($1::text[])`,
    [retired],
  )
  await client.query(
    `update access_seed_entries set state = 'left' where entry = any ($1::text[]) and entry <> all ($2::text[])`,
    [keysOf(leaving), retired],
  )
  return retired
}

async function apply(client: SqlClient, { fresh, revived, resumed }: Plan): Promise<void> {
  for (const kind of seedKinds) {
    await run(client, revivals[kind], ofKind(revived, kind))
    if (kind === 'role') await takeNamesOf(client, ofKind(fresh, kind))
    await run(client, insertions[kind], ofKind([...fresh, ...(kind in revivals ? [] : revived)], kind)).catch(explain)
  }
  await client.query(
    `insert into access_seed_entries (entry) select unnest($1::text[])
     on conflict (entry) do update set state = 'applied', applied_at = now()`,
    [keysOf([...fresh, ...revived])],
  )
  await client.query(`update access_seed_entries set state = 'applied' where entry = any ($1::text[])`, [
    keysOf(resumed),
  ])
}

async function takeNamesOf(client: SqlClient, roles: readonly SeedEntry[]): Promise<void> {
  const names = roles.map(({ values }) => values['name']).filter((name) => typeof name === 'string')
  if (names.length > 0) await takeNames(client, { actorId: null }, names)
}

function keysOf(entries: readonly SeedEntry[]): string[] {
  return entries.map((entry) => entry.key)
}

async function run<Row extends object>(
  client: SqlClient,
  statement: string | undefined,
  entries: readonly SeedEntry[],
): Promise<Row[]> {
  if (statement === undefined || entries.length === 0) return []
  const values = JSON.stringify(entries.map(({ key, values: rest }) => ({ key, ...rest })))
  return (await client.query<Row>(statement, [values])).rows
}

function ofKind(entries: readonly SeedEntry[], kind: SeedEntry['kind']): SeedEntry[] {
  return entries.filter((entry) => entry.kind === kind)
}

function explain(error: unknown): never {
  const { constraint } = error as { constraint?: unknown }
  if (constraint === 'role_inclusions_no_cycle') {
    throw new TenancyError(
      'TENANCY_ACCESS_ROLE_CYCLE',
      'A role of the access definition includes one that was made to include it: take one of the two ways out',
      { cause: error },
    )
  }
  throw error
}
