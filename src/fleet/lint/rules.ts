interface Rule {
  readonly severity: 'error' | 'warning'
  readonly advice: string
}

const twoReleases =
  'Let the running release stop using it first; remove it one release later, with a lint-ignore comment that says so.'
const owner = 'Leave it to the provisioning account and the operator; migrations run as an owner that may not do it.'

/** Every rule, with what to do instead. Messages of findings say what happens and why. */
export const rules = {
  'syntax-error': { severity: 'error', advice: 'Correct the file: PostgreSQL would refuse it.' },
  'empty-file': {
    severity: 'warning',
    advice: 'Write its statements before it is applied: afterwards, a file must not change.',
  },
  'index-not-concurrent': {
    severity: 'error',
    advice: 'Use CREATE INDEX CONCURRENTLY in a file of its own that begins with `-- no-transaction`.',
  },
  'drop-index-not-concurrent': {
    severity: 'warning',
    advice: 'Use DROP INDEX CONCURRENTLY in a file of its own that begins with `-- no-transaction`.',
  },
  'reindex-not-concurrent': {
    severity: 'error',
    advice: 'Use REINDEX … CONCURRENTLY in a file that begins with `-- no-transaction`.',
  },
  'refresh-not-concurrent': {
    severity: 'error',
    advice: 'Use REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index on the view.',
  },
  'needs-no-transaction': {
    severity: 'error',
    advice: 'Move it to a file of its own that begins with `-- no-transaction`.',
  },
  'transaction-control': {
    severity: 'error',
    advice: 'Remove it: each file is one transaction with its row in the ledger.',
  },
  'set-not-null': {
    severity: 'error',
    advice:
      'Add CHECK (column IS NOT NULL) NOT VALID, validate it in the next file, then SET NOT NULL, which needs no scan, and drop the check.',
  },
  'add-column-volatile-default': {
    severity: 'error',
    advice: 'Add the column without a default, set the default in a second statement, and fill old rows in batches.',
  },
  'add-column-serial': {
    severity: 'error',
    advice:
      'Add a nullable column without a default, fill old rows in batches, then attach the sequence or the identity.',
  },
  'add-column-generated': {
    severity: 'error',
    advice: 'Add a plain column that a trigger or the application fills, or compute the value in a view.',
  },
  'add-column-required': {
    severity: 'error',
    advice: 'Give it a constant default, or add it nullable and make it NOT NULL one release later.',
  },
  'change-type': {
    severity: 'error',
    advice: 'Add a column of the new type, write both, fill old rows in batches, and switch over in a later release.',
  },
  'constraint-not-valid': {
    severity: 'error',
    advice: 'Add it with NOT VALID, and VALIDATE CONSTRAINT in the next file.',
  },
  'validate-same-transaction': {
    severity: 'error',
    advice: 'Validate in a file of its own: there the scan blocks nobody.',
  },
  'unique-without-index': {
    severity: 'error',
    advice: 'Build a unique index CONCURRENTLY in a file of its own, then ADD CONSTRAINT … USING INDEX.',
  },
  'exclusion-constraint': {
    severity: 'error',
    advice: 'It cannot be built concurrently: make a new table with it, and move rows over.',
  },
  'drop-column': { severity: 'error', advice: twoReleases },
  'drop-table': { severity: 'error', advice: twoReleases },
  'drop-object': { severity: 'error', advice: twoReleases },
  rename: {
    severity: 'error',
    advice:
      'Add the new name beside the old one (a column that both releases write, or a view), and drop the old one later.',
  },
  'drop-default': {
    severity: 'error',
    advice: 'Keep the default until no running release inserts rows without the column.',
  },
  'rewrite-table': {
    severity: 'error',
    advice: 'Do it table by table in a maintenance window, outside of migrations.',
  },
  'lock-table': { severity: 'error', advice: 'Take no explicit lock: the statements take what they need.' },
  'write-all-rows': {
    severity: 'error',
    advice: 'Write rows in batches by a range of the key, in a `-- no-transaction` file or by a background job.',
  },
  'write-under-lock': {
    severity: 'error',
    advice: 'Move the change of rows to a file of its own: the lock is held until this transaction ends.',
  },
  truncate: { severity: 'error', advice: 'Delete in batches, or stop using the table and drop it one release later.' },
  'trigger-on-existing': {
    severity: 'warning',
    advice: 'Keep it in a file of its own, so that its lock is held for a moment only.',
  },
  'attach-partition': {
    severity: 'warning',
    advice: 'Add a validated CHECK that implies the bounds to the new partition first; detach CONCURRENTLY.',
  },
  'enum-value-same-transaction': {
    severity: 'error',
    advice: 'Add the value in a file of its own, and use it in the next one.',
  },
  'disable-triggers': {
    severity: 'error',
    advice: 'Leave triggers on: foreign keys and audit depend on them, in other sessions as well.',
  },
  'set-lock-timeout': {
    severity: 'error',
    advice: 'Leave it to the runner (lockTimeoutMs), which gives way and tries again.',
  },
  'set-timeout': { severity: 'warning', advice: 'Leave timeouts to the runner.' },
  'several-tables-locked': {
    severity: 'warning',
    advice: 'One table a file: requests that take the locks in another order end in a deadlock.',
  },
  'row-security': {
    severity: 'error',
    advice: 'Create the policies first, or in the same file: without one, the tenant’s role sees no rows.',
  },
  privileged: { severity: 'error', advice: owner },
  owner: { severity: 'error', advice: 'Remove it: every object belongs to the account that migrations run as.' },
  extension: {
    severity: 'error',
    advice: 'List it in the `extensions` of createTenancy: then it is made when a database is built or migrated.',
  },
  'untrusted-language': {
    severity: 'error',
    advice: 'Use sql or plpgsql: untrusted languages reach the server’s files.',
  },
  'server-file': { severity: 'error', advice: 'Send the rows by INSERT, or load them from the application.' },
  'definer-search-path': {
    severity: 'error',
    advice:
      'Add SET search_path = pg_catalog, public (with pg_catalog first), so that nobody’s objects run as the owner.',
  },
  'grant-to-public': {
    severity: 'error',
    advice: 'Grant nothing: the tenant’s role gets its privileges from default privileges, other accounts need none.',
  },
  'ignore-comment': {
    severity: 'error',
    advice: 'Write `-- lint-ignore rule: reason` on the line before the statement.',
  },
} as const satisfies Readonly<Record<string, Rule>>

/** Name of a rule, as in `-- lint-ignore rule: reason`. */
export type RuleName = keyof typeof rules
