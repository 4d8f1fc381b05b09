import { createHash } from 'node:crypto'

/** The rows of a system catalog that a fingerprint covers, and what tells one of them from all others. */
interface Part {
  readonly catalog: string
  /** Columns that identify a row, in the order of the rows. */
  readonly key: readonly string[]
  readonly where: string
}

const procs = "'pg_catalog.pg_proc'::pg_catalog.regclass"

/**
 * All that the answer of `schemaEffectsQuery` depends on. Other catalogs that it reads cannot change alone:
 * - `pg_trigger`, `pg_index`, `pg_partitioned_table`: the table that an object belongs to is the same for the object's
 *   life, and `pg_depend` names the object as long as it runs a function of the application
 * - `pg_attribute`: an identity comes and goes with its sequence or with a partition, a generated column with its
 *   expression
 */
const parts: readonly Part[] = [
  { catalog: 'pg_proc', key: ['oid'], where: 'oid >= 16384' },
  {
    catalog: 'pg_depend',
    key: ['classid', 'objid', 'objsubid', 'refobjid', 'deptype'],
    where: `refclassid = ${procs} and refobjid >= 16384`,
  },
  {
    catalog: 'pg_depend',
    key: ['objid', 'refobjid'],
    where: `classid = ${procs} and objid >= 16384 and deptype = 'e'`,
  },
  { catalog: 'pg_rewrite', key: ['oid'], where: 'oid >= 16384' },
  { catalog: 'pg_attrdef', key: ['oid'], where: 'oid >= 16384' },
  { catalog: 'pg_policy', key: ['oid'], where: 'true' },
  { catalog: 'pg_constraint', key: ['oid'], where: "oid >= 16384 and contype in ('c', 'f')" },
  { catalog: 'pg_inherits', key: ['inhrelid', 'inhparent'], where: 'true' },
  { catalog: 'pg_class', key: ['oid'], where: "oid >= 16384 and relkind not in ('i', 'I', 't')" },
]

const rowsOf = ({ catalog, key, where }: Part): string =>
  `array(select row(${key.join(', ')}, xmin) from pg_catalog.${catalog} where ${where} order by ${key.join(', ')})`

/**
 * SQL expressions, one for each part: a text of 44 letters that changes with the part. Together they change with every
 * change that may alter what a database runs behind the names in a statement. Databases that were cloned from one template
 * have the same ones until one of them is changed.
 *
 * A row's `xmin` is the transaction that wrote it, also after the row was frozen or cloned. Transactions are numbered for
 * the whole server, so two databases have a row with the same key and `xmin` only if they have it from the same
 * template. A server that was restored from a backup gives numbers again, and has another start time.
 *
 * Not noticed: what was changed in objects that initdb made, and an UPDATE of the system catalogs.
 */
export const schemaFingerprintParts: readonly string[] = parts.map(
  (part) => `pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat(
    pg_catalog.pg_postmaster_start_time(), '|', ${rowsOf(part)}), 'UTF8')), 'base64')`,
)

/**
 * What runs before a question whose answer counts for other databases, too: an operator that a tenant made must not take
 * the place of one of PostgreSQL's. It lasts as long as the implicit transaction of one message.
 */
export const withoutTenantsOperators = 'set local search_path to pg_catalog;'

/**
 * Asks for the parts one by one, `{ part }`: together they take a fresh connection 3 ms, too long for a caller who waits.
 * A change between two of them is noticed as late as one just after the last.
 */
export const schemaFingerprintQueries: readonly string[] = schemaFingerprintParts.map(
  (part) => `${withoutTenantsOperators} select ${part} as part`,
)

/** The fingerprint of a database whose parts are these. */
export function fingerprintOf(schemaParts: readonly string[]): string {
  return createHash('sha256').update(schemaParts.join(' ')).digest('base64')
}
