type AnyClass = new (...given: never[]) => object

/**
 * A copy of `pg` (node-postgres 8.11 or newer), as `import pg from 'pg'` or `import * as pg from 'pg'` gives it: the part
 * that is looked at. `typeof import('pg')` of any version fits.
 */
export interface PgModule {
  readonly Client: AnyClass
  readonly Pool: AnyClass
}
