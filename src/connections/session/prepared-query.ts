import type pg from 'pg'
import type { PgCopy } from './pg-copy.js'

/** The columns of a result, as the server describes them. */
export type Fields = readonly unknown[]

interface Connection {
  describe(message: unknown): void
}

/** What `pg` knows about a query and its types do not say: `pgCopyOf` looks for it, test/connections holds it to that. */
interface QueryInternals extends pg.Submittable {
  _result: { addFields(fields: Fields): void }
  _accumulateRows: boolean
  hasBeenParsed(connection: Connection): boolean
  prepare(connection: Connection): void
  handleRowDescription(message: { readonly fields: Fields }): void
}

/** Makes the queries of prepared statements. */
export type PreparedQueryClass = new (config: object, callback: unknown, known: KnownStatement) => pg.Submittable

/** What is known about a prepared statement of one connection. */
export interface KnownStatement {
  fields?: Fields
}

/**
 * The class of queries of a prepared statement. `pg` has the columns described every time; a prepared statement never changes them
 * (the server refuses it with 0A000 instead), so once is enough.
 */
export function preparedQueryClass({ Query: Base }: PgCopy): PreparedQueryClass {
  const Query = Base as unknown as new (config: object, values: undefined, callback: unknown) => QueryInternals

  return class PreparedQuery extends Query {
    readonly #known: KnownStatement

    constructor(config: object, callback: unknown, known: KnownStatement) {
      super(config, undefined, callback)
      this.#known = known
    }

    override prepare(connection: Connection): void {
      const { fields } = this.#known
      if (fields === undefined || !this.hasBeenParsed(connection)) return super.prepare(connection)
      this._result.addFields([...fields])
      this._accumulateRows = true
      super.prepare(withoutDescribe(connection))
    }

    override handleRowDescription(message: { readonly fields: Fields }): void {
      this.#known.fields = message.fields
      super.handleRowDescription(message)
    }
  }
}

const silent = new WeakMap<Connection, Connection>()

/** The connection, deaf to requests for descriptions. */
function withoutDescribe(connection: Connection): Connection {
  let deaf = silent.get(connection)
  if (deaf === undefined) {
    deaf = Object.create(connection, { describe: { value() {} } }) as Connection
    silent.set(connection, deaf)
  }
  return deaf
}
