type AnyClass = new (...given: never[]) => object

/**
 * The part of a copy of `pg` that is used (node-postgres 8.11 or newer), as `import pg from 'pg'` or `import * as pg from 'pg'`
 * gives it. `typeof import('pg')` of any version fits.
 */
export interface PgModule {
  readonly Client: AnyClass
  readonly Pool: AnyClass
}
